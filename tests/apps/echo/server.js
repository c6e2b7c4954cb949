// A web process that shows what reached it, with nothing but Node.
//   /            the request as JSON: method, url, headers, body, release, instance
//   /env?name=N  one variable of its environment, or 404
//   /slow?ms=N   answers after N ms          /stream?n=N&ms=M  N lines, one every M ms
//   /log?n=N     logs N numbered lines       /status?code=N    answers with that status
//   /exit?code=N ends the process            upgrade           WebSocket echo of text and binary frames
// BOOT_MS delays the port, BOOT_FAIL=N ends at boot with that status, STOP_MS delays the end after SIGTERM.
const crypto = require("node:crypto");
const http = require("node:http");

const { PORT, BOOT_MS = 0, BOOT_FAIL, STOP_MS = 0, HOIST_RELEASE = null, HOIST_INSTANCE = null } = process.env;

const pages = {
  "/env": ({ query, response }) => {
    const value = process.env[query.get("name")];
    response.writeHead(value === undefined ? 404 : 200).end(value);
  },
  "/slow": ({ query, response }) => setTimeout(() => response.end("slow\n"), Number(query.get("ms"))),
  "/stream": ({ query, response }) => {
    let n = 0;
    const timer = setInterval(() => {
      response.write(`${++n}\n`);
      if (n < Number(query.get("n"))) return;
      clearInterval(timer);
      response.end();
    }, Number(query.get("ms")));
    response.on("close", () => clearInterval(timer));
  },
  "/log": ({ query, response }) => {
    const count = Number(query.get("n"));
    for (let n = 1; n <= count; n++) console.log(`line ${n}`);
    response.end(`${count}\n`);
  },
  "/status": ({ query, response }) => response.writeHead(Number(query.get("code"))).end(),
  "/exit": ({ query, response }) => response.end("bye\n", () => process.exit(Number(query.get("code")))),
};

const server = http.createServer(async (request, response) => {
  const url = new URL(request.url, "http://app");
  const page = pages[url.pathname];
  if (page) return page({ query: url.searchParams, response });
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const { method, headers, httpVersion } = request;
  const body = Buffer.concat(chunks).toString();
  const seen = { method, url: request.url, httpVersion, headers, body, release: HOIST_RELEASE, instance: HOIST_INSTANCE };
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify(seen, null, 2) + "\n");
});

server.on("upgrade", (request, socket, head) => {
  const key = request.headers["sec-websocket-key"];
  if (!key) return socket.end("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
  const accept = crypto.createHash("sha1").update(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest("base64");
  const answer = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"];
  socket.write([...answer, `Sec-WebSocket-Accept: ${accept}`, "", ""].join("\r\n"));
  let waiting = head;
  socket.on("data", (data) => {
    waiting = Buffer.concat([waiting, data]);
    for (let frame; (frame = takeFrame(waiting)); waiting = waiting.subarray(frame.length)) reply(socket, frame);
  });
  socket.on("error", () => socket.destroy());
  if (head.length > 0) socket.emit("data", Buffer.alloc(0));
});

// The first frame of `data` (RFC 6455, section 5.2), or nothing as long as it is not complete.
function takeFrame(data) {
  if (data.length < 2) return null;
  const short = data[1] & 127;
  const header = short === 126 ? 4 : short === 127 ? 10 : 2;
  const masked = (data[1] & 128) !== 0;
  const start = header + (masked ? 4 : 0);
  if (data.length < start) return null;
  const size = short === 126 ? data.readUInt16BE(2) : short === 127 ? Number(data.readBigUInt64BE(2)) : short;
  if (data.length < start + size) return null;
  const payload = Buffer.from(data.subarray(start, start + size));
  if (masked) for (let n = 0; n < size; n++) payload[n] ^= data[header + (n & 3)];
  return { first: data[0], opcode: data[0] & 15, payload, length: start + size };
}

function reply(socket, { first, opcode, payload }) {
  if (opcode === 8) return socket.end(frameOf(0x88, payload));
  if (opcode === 9) return socket.write(frameOf(0x8a, payload));
  if (opcode <= 2) socket.write(frameOf(first, payload));
}

function frameOf(first, payload) {
  const size = payload.length;
  const header = Buffer.alloc(size < 126 ? 2 : size < 65536 ? 4 : 10);
  header[0] = first;
  header[1] = size < 126 ? size : size < 65536 ? 126 : 127;
  if (header.length === 4) header.writeUInt16BE(size, 2);
  if (header.length === 10) header.writeBigUInt64BE(BigInt(size), 2);
  return Buffer.concat([header, payload]);
}

setTimeout(() => {
  if (BOOT_FAIL) {
    console.error("boot fails, as it was told to");
    process.exit(Number(BOOT_FAIL));
  }
  server.listen(PORT, "0.0.0.0", () => console.log(`listening on ${PORT}`));
}, Number(BOOT_MS));

process.on("SIGTERM", () => {
  console.log("SIGTERM: finishing the requests in hand");
  setTimeout(() => {
    server.close(() => process.exit(0));
    server.closeIdleConnections();
  }, Number(STOP_MS));
});
