// Serves, and ignores SIGTERM.
const http = require("node:http");
http.createServer((request, response) => response.end("still here\n")).listen(process.env.PORT, "0.0.0.0");
process.on("SIGTERM", () => console.log("SIGTERM: no"));
