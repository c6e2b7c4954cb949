// Says hello, and which release and instance of the app does. One real dependency, so that a push installs something.
const http = require("node:http");
const ms = require("ms");

const { PORT = 3000, HOIST_RELEASE = "?", HOIST_INSTANCE = "?" } = process.env;
const started = Date.now();

const server = http.createServer((request, response) => {
  const up = ms(Date.now() - started, { long: true });
  response.setHeader("Content-Type", "text/plain; charset=utf-8");
  response.end(`Hello from Hoist\nrelease ${HOIST_RELEASE}, instance ${HOIST_INSTANCE}, up for ${up}\n`);
});

server.listen(PORT, "0.0.0.0", () => console.log(`listening on ${PORT}`));

process.on("SIGTERM", () => {
  console.log("SIGTERM: finishing the requests in hand");
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
