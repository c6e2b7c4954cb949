// Listens, but where nobody outside its own container can reach it, and on a port that nobody asked for.
const http = require("node:http");
http.createServer((request, response) => response.end("nobody hears this\n")).listen(3000, "127.0.0.1", () => {
  console.log("listening on http://127.0.0.1:3000");
});
process.on("SIGTERM", () => process.exit(0));
