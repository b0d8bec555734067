// A small MCP server on the official SDK, spoken to over stdio. The published servers know only the protocol up to
// 2025-11-25; this one also serves 2026-07-28, so that the quick start shows both eras.
import { McpServer } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { z } from 'zod';

const invoices = new Map([
  ['INV-1001', { customer: 'Nordwind GmbH', amount_eur: 1_840, state: 'open' }],
  ['INV-1002', { customer: 'Sundial Ltd', amount_eur: 96_500, state: 'open' }],
]);

const text = (value: unknown) => ({ content: [{ type: 'text' as const, text: JSON.stringify(value) }] });

serveStdio(() => {
  const server = new McpServer({ name: 'invoices', version: '1.0.0' });
  server.registerTool(
    'list_invoices',
    { description: 'Lists the invoices in a state.', inputSchema: z.object({ state: z.string() }) },
    ({ state }) => text([...invoices].filter(([, invoice]) => invoice.state === state)),
  );
  server.registerTool(
    'send_reminder',
    {
      description: 'Sends a payment reminder to a customer.',
      inputSchema: z.object({ invoice: z.string(), email: z.string(), note: z.string() }),
    },
    ({ invoice }) => {
      if (!invoices.has(invoice)) throw new Error(`no invoice ${invoice}`);
      return text({ sent: true });
    },
  );
  server.registerTool(
    'delete_invoice',
    { description: 'Deletes an invoice for good.', inputSchema: z.object({ invoice: z.string() }) },
    ({ invoice }) => text({ deleted: invoices.delete(invoice) }),
  );
  return server;
});
