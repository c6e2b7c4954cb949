// A process without a port. It says something every WORKER_MS; WORKER_EXIT=3 makes it end with that status at once.
const { WORKER_MS = 1000, WORKER_EXIT, HOIST_RELEASE = "?", HOIST_INSTANCE = "?" } = process.env;
console.log(`worker ${HOIST_INSTANCE} of ${HOIST_RELEASE} started`);
if (WORKER_EXIT !== undefined) process.exit(Number(WORKER_EXIT));
let n = 0;
setInterval(() => console.log(`worker beat ${++n}`), Number(WORKER_MS));
process.on("SIGTERM", () => {
  console.log("worker: SIGTERM");
  process.exit(0);
});
