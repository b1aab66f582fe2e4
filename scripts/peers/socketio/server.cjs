// Deployment logs over socket.io, the plain way: a room per deployment; whoever is in it gets the line.

const http = require("node:http");
const { Server } = require("socket.io");

const server = http.createServer((request, response) => {
  const deployment = /^\/deployments\/([\w-]+)\/lines$/.exec(request.url)?.[1];
  if (request.method !== "POST" || !deployment) {
    response.writeHead(404).end();
    return;
  }
  let line = "";
  request.setEncoding("utf8");
  request.on("data", (chunk) => (line += chunk));
  request.on("end", () => {
    io.to(deployment).emit("log", { text: line });
    response.writeHead(204).end();
  });
});

const io = new Server(server);
io.on("connection", (socket) => {
  socket.on("join", (deployment) => socket.join(deployment));
});

server.listen(0, "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});

process.stdin.resume().on("end", () => process.exit(0));
