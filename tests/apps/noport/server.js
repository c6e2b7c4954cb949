// Runs, and never opens its port.
console.log("thinking about opening a port");
setInterval(() => {}, 1000);
process.on("SIGTERM", () => process.exit(0));
