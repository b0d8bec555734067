// A receiver in a process of its own, which takes everything and answers at once: each item of `_bulk` as created, everything else
// of HTTP with 200; what comes over TLS is read to its end, as a receiver of syslog does. Says its two ports, then answers until it is
// ended.
//
//   node receiver.ts CERTIFICATE KEY      files, PEM
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo, Server } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { createServer as createTlsServer } from 'node:tls';

const [certificate = '', key = ''] = process.argv.slice(2);
const http = createServer(async (request, response) => {
  const body = await buffer(request);
  if (!request.url?.includes('/_bulk')) return void response.end('{"text":"Success","code":0}');
  let items = 0;
  for (let at = body.indexOf(10); at !== -1; at = body.indexOf(10, at + 1)) items += 1;
  response.end(JSON.stringify({ items: Array(items / 2).fill({ create: { status: 201 } }) }));
});
// A connection stays, however long the sender thinks.
http.keepAliveTimeout = 0;

const syslog = createTlsServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (socket) => {
  socket.on('error', () => {});
  // It ends its side when it has read the sender's end.
  socket.resume();
});

const portOf = async (server: Server): Promise<number> => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
};
const ports = [await portOf(http), await portOf(syslog)];
process.stdout.write(`${ports.join(' ')}\n`);
