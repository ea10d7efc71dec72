// Drains a UDP socket with Node's dgram module.
//
// Run by tests/benchmarks/workers/peers.py, which says what stands on standard input and output.

"use strict";

const dgram = require("node:dgram");
const fs = require("node:fs");

const [group, port, bufferSize, , address] = process.argv.slice(2);

// Nanoseconds of processor time: of the thread, where Node can tell that, else of the process.
function cpuTime() {
  const { user, system } = (process.threadCpuUsage ?? process.cpuUsage).call(process);
  return (user + system) * 1000;
}

let left = 0;
let start = 0;
let touched = 0;
const command = Buffer.alloc(64);

// Blocks until there is a command: nothing is to be received meanwhile.
function waitForCommand() {
  const length = fs.readSync(0, command);
  if (length === 0) {
    process.exit(0);
  }
  left = Number(command.toString("latin1", 0, length));
  start = cpuTime();
}

const socket = dgram.createSocket({ type: "udp4", recvBufferSize: Number(bufferSize) });
socket.on("message", (data, source) => {
  touched += data[0] + data.length + source.port;
  left -= 1;
  if (left === 0) {
    fs.writeSync(1, `${cpuTime() - start} ${data.readBigUInt64BE()}\n`);
    waitForCommand();
  }
});
socket.bind({ address: group, port: Number(port) }, () => {
  socket.addMembership(group, address);
  fs.writeSync(1, "ready\n");
  waitForCommand();
});
