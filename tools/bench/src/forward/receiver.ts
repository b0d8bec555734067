// A receiver in a process of its own, which takes everything and answers at once: each item of `_bulk` as created, everything else
// with 200. Says its port, then answers until it is ended.
import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';

const server = createServer(async (request, response) => {
  const body = await buffer(request);
  if (!request.url?.includes('/_bulk')) return void response.end('{"text":"Success","code":0}');
  let items = 0;
  for (let at = body.indexOf(10); at !== -1; at = body.indexOf(10, at + 1)) items += 1;
  response.end(JSON.stringify({ items: Array(items / 2).fill({ create: { status: 201 } }) }));
});
// A connection stays, however long the sender thinks.
server.keepAliveTimeout = 0;
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`${(server.address() as { port: number }).port}\n`);
});
