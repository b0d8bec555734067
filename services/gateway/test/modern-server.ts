// A server of the era without sessions, on the official SDK: over stdio, or over HTTP when PORT is set.
import { createServer } from 'node:http';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, McpServer, ResourceTemplate } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { z } from 'zod';

function modern(): McpServer {
  const server = new McpServer({ name: 'modern', version: '1.0.0' });
  server.registerTool(
    'add',
    { description: 'Adds.', inputSchema: z.object({ a: z.number(), b: z.number() }) },
    ({ a, b }) => ({ content: [{ type: 'text', text: String(a + b) }], structuredContent: { sum: a + b } }),
  );
  server.registerTool('fail', { description: 'Fails.', inputSchema: z.object({}) }, () => {
    throw new Error('it always fails');
  });
  server.registerTool(
    'wide',
    { description: 'Ä text: 日本語 \u2028.', inputSchema: z.object({ text: z.string() }) },
    ({ text }) => ({
      content: [{ type: 'text', text: `${text} \u2028 ü 漢字` }],
    }),
  );
  server.registerResource('note', 'memo://note', { mimeType: 'text/plain' }, (uri) => ({
    contents: [{ uri: uri.href, text: 'a note' }],
  }));
  server.registerResource(
    'numbered',
    new ResourceTemplate('memo://numbered/{n}', { list: undefined }),
    {},
    (uri, { n }) => ({ contents: [{ uri: uri.href, text: `note ${n}` }] }),
  );
  server.registerPrompt('greet', { argsSchema: z.object({ who: z.string() }) }, ({ who }) => ({
    messages: [{ role: 'user', content: { type: 'text', text: `Hello ${who}` } }],
  }));
  return server;
}

const port = process.env['PORT'];
if (port === undefined) serveStdio(modern);
else {
  const handler = toNodeHandler(createMcpHandler(modern));
  createServer(
    (request, response) => void handler(request as Parameters<typeof handler>[0], response),
  ).listen(Number(port), '127.0.0.1');
}
