// A Node.js server that calls others: /via/PATH asks PATH of the upstream over kept-alive connections.
//
// relay.js PORT COUNTS UPSTREAM_URL    SIGUSR2 writes the counts: {"served": [row], "called": [row]}, rows as apps/load.py
// has them; a served row has "client" instead of "address".
"use strict";
const fs = require("fs");
const http = require("http");

const [port, countsFile, upstream] = process.argv.slice(2);
const served = new Map();
const called = new Map();
const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });

function row(rows, key, fields) {
  if (!rows.has(key)) rows.set(key, { ...fields, requests: 0, connections: 0, statuses: {}, unanswered: {} });
  return rows.get(key);
}

function answered(one, status) {
  one.statuses[status] = (one.statuses[status] || 0) + 1;
}

function clientOf(socket) {
  const address = socket.remoteAddress.replace(/^::ffff:/, "");
  return row(served, address, { client: address, port: Number(port) });
}

function call(path, method, done) {
  const request = http.request(new URL(path, upstream), { agent, method }, (response) => {
    answered(request.row, response.statusCode);
    response.resume();
    response.on("end", () => done(response.statusCode));
  });
  request.on("socket", (socket) => {
    const count = () => {
      const key = `${socket.remoteAddress} ${socket.remotePort}`;
      const host = new URL(upstream).hostname.replace(/^\[|\]$/g, "");
      request.row = row(called, key, { address: socket.remoteAddress, port: socket.remotePort, host });
      request.row.requests += 1;
      if (!socket.counted) request.row.connections += 1;
      socket.counted = true;
    };
    if (socket.connecting) socket.once("connect", count);
    else count();
  });
  request.on("error", (error) => {
    throw error;
  });
  request.end();
}

const server = http.createServer((request, response) => {
  const counts = clientOf(request.socket);
  counts.requests += 1;
  response.on("finish", () => answered(counts, response.statusCode));
  request.resume();
  const match = /^\/(via|status)(\/.*)$/.exec(request.url);
  if (match && match[1] === "via") {
    call(match[2], request.method, (status) => {
      response.statusCode = status;
      response.end(request.method === "HEAD" || status === 204 || status === 304 ? undefined : "relayed\n");
    });
    return;
  }
  response.statusCode = match ? Number(match[2].slice(1)) : 200;
  response.end("it works\n");
});
server.keepAliveTimeout = 0;
server.on("connection", (socket) => {
  clientOf(socket).connections += 1;
});
server.listen({ port: Number(port), host: "::" });

process.on("SIGUSR2", () => {
  fs.writeFileSync(`${countsFile}.new`, JSON.stringify({ served: [...served.values()], called: [...called.values()] }));
  fs.renameSync(`${countsFile}.new`, countsFile);
});
