// The least that stands between a caller and a server and leaves a durable trace: it passes each body on as it is, and appends a
// line before the server is asked and another before the caller is answered. It reads nothing, decides nothing and guards nothing.
// With WORK_US it keeps its thread busy for so long before each line, as one that reads, decides and guards would.

import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { Agent, createServer, type IncomingMessage, request } from 'node:http';

const { PORT = '', UPSTREAM = '', FILE = '', WORK_US = '0' } = process.env;
const workMs = Number(WORK_US) / 1000;
const agent = new Agent({ keepAlive: true, maxSockets: 256 });
const upstream = new URL(UPSTREAM);
const file = await open(
  FILE,
  constants.O_CREAT | constants.O_WRONLY | constants.O_APPEND | constants.O_DSYNC,
);

/** About what an event takes in the gateway's spool. */
const LINE = Buffer.alloc(450, 'x');
let waiting: (() => void)[] = [];
let isWriting = false;

/** Durable when it resolves; one write is under way, and takes every line that came meanwhile. */
function append(): Promise<void> {
  const written = new Promise<void>((resolve) => waiting.push(resolve));
  if (!isWriting) void writeAll();
  return written;
}

async function writeAll(): Promise<void> {
  isWriting = true;
  while (waiting.length > 0) {
    const those = waiting;
    waiting = [];
    await file.write(Buffer.concat(those.map(() => LINE)));
    for (const resolve of those) resolve();
  }
  isWriting = false;
}

function work(): void {
  for (const until = performance.now() + workMs; performance.now() < until; );
}

const server = createServer(async (asked, response) => {
  const body = await bodyOf(asked);
  work();
  await append();
  const { status, type, answer } = await forward(asked, body);
  work();
  await append();
  response.writeHead(status, { 'content-type': type, 'content-length': answer.length });
  response.end(answer);
});
server.keepAliveTimeout = 60_000;
server.listen(Number(PORT), '127.0.0.1');
process.once('SIGTERM', () => process.exit(0));

function forward(
  asked: IncomingMessage,
  body: Buffer,
): Promise<{ readonly status: number; readonly type: string; readonly answer: Buffer }> {
  return new Promise((resolve, reject) => {
    const { host: _host, connection: _connection, ...headers } = asked.headers;
    const passed = request(
      {
        agent,
        host: upstream.hostname,
        port: upstream.port,
        path: upstream.pathname,
        method: asked.method,
        headers,
      },
      (answered) => {
        bodyOf(answered).then(
          (answer) =>
            resolve({
              status: answered.statusCode ?? 502,
              type: answered.headers['content-type'] ?? 'application/octet-stream',
              answer,
            }),
          reject,
        );
      },
    );
    passed.once('error', reject);
    passed.end(body);
  });
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
