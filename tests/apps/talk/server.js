// Says what it is told to, and dies as it is told to.
//   /both?n=N        N numbered lines on stdout and on stderr, in turn
//   /long?bytes=N    one line of N bytes            /binary    bytes that are no text and would harm a terminal
//   /progress?at=N   draws one line anew up to N percent, and leaves it there; at 100 it is done
//   /kill?text=T     T without a newline, then SIGKILL to itself
//   /oom?text=T      T without a newline, then all the memory there is
// A second process type, `beat`, numbers its lines without end (BEAT_MS between them).
const fs = require("node:fs");
const http = require("node:http");

const { PORT, BEAT_MS = 10 } = process.env;

// A full pipe is waited for.
function write(fd, text) {
  for (let rest = Buffer.from(text); rest.length > 0; ) {
    try {
      rest = rest.subarray(fs.writeSync(fd, rest));
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}

const pages = {
  "/both": (query) => {
    for (let n = 1; n <= Number(query.get("n")); n++) {
      write(1, `out ${n}\n`);
      write(2, `err ${n}\n`);
    }
  },
  "/long": (query) => write(1, "ä".repeat(Number(query.get("bytes")) / 2) + "\n"),
  "/binary": () => write(1, Buffer.from([0x62, 0, 0xff, 0xfe, 0x1b, 0x5b, 0x32, 0x4a, 7, 0x9b, 0x41, 0x0d, 0x42, 0x0a])),
  "/progress": (query) => {
    const at = Number(query.get("at"));
    for (let n = 1; n <= at; n++) write(1, `\r${n} percent`);
    if (at === 100) write(1, "\r\n");
  },
  "/kill": (query) => {
    write(1, query.get("text"));
    process.kill(process.pid, "SIGKILL");
  },
  "/oom": (query) => {
    write(2, query.get("text"));
    for (const all = []; ; ) all.push(Buffer.alloc(1 << 24, 1));
  },
};

if (process.argv[2] === "beat") {
  let n = 0;
  setInterval(() => write(1, `beat ${++n}\n`), Number(BEAT_MS));
  process.on("SIGTERM", () => process.exit(0));
} else {
  http
    .createServer((request, response) => {
      const url = new URL(request.url, "http://app");
      pages[url.pathname]?.(url.searchParams);
      response.end("said\n");
    })
    .listen(PORT, "0.0.0.0");
  process.on("SIGTERM", () => process.exit(0));
}
