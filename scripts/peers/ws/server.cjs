// Deployment logs over a plain WebSocket broadcast: whoever is connected gets the line, nobody else ever does.

const http = require("node:http");
const { WebSocketServer, WebSocket } = require("ws");

const sockets = new WebSocketServer({ noServer: true });

const server = http.createServer((request, response) => {
  if (request.method !== "POST" || request.url !== "/lines") {
    response.writeHead(404).end();
    return;
  }
  let line = "";
  request.setEncoding("utf8");
  request.on("data", (chunk) => (line += chunk));
  request.on("end", () => {
    for (const socket of sockets.clients) {
      if (socket.readyState === WebSocket.OPEN) socket.send(line);
    }
    response.writeHead(204).end();
  });
});

server.on("upgrade", (request, socket, head) => {
  sockets.handleUpgrade(request, socket, head, (accepted) => {
    // A cut is the end of a connection, not of the server.
    accepted.on("error", () => accepted.terminate());
  });
});

server.listen(0, "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});

process.stdin.resume().on("end", () => process.exit(0));
