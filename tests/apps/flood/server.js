// Serves, and logs 100,000 numbered lines of 200 bytes a second (RATE, BYTES) for SECONDS, or until it ends.
const fs = require("node:fs");
const http = require("node:http");

const { PORT, RATE = 100000, BYTES = 200, SECONDS = Infinity } = process.env;
const started = Date.now();
let sent = 0;

http.createServer((request, response) => response.end(`${sent} lines\n`)).listen(PORT, "0.0.0.0");

const timer = setInterval(() => {
  const seconds = Math.min((Date.now() - started) / 1000, SECONDS);
  // At most 50 ms worth at once: after a pause it catches up without blocking requests for long.
  for (const want = Math.min(seconds * RATE, sent + RATE / 20); sent < want; sent++) write(line(sent));
  if (seconds >= SECONDS) clearInterval(timer);
}, 5);

function line(n) {
  return `${n} `.padEnd(BYTES - 1, "x") + "\n";
}

// One write a line, as programs do that flush each line. A full pipe is waited for.
function write(text) {
  for (let rest = Buffer.from(text); rest.length > 0; ) {
    try {
      rest = rest.subarray(fs.writeSync(1, rest));
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}

process.on("SIGTERM", () => process.exit(0));
