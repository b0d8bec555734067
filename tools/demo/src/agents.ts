import {
  Client as ModernClient,
  StreamableHTTPClientTransport as ModernTransport,
} from '@modelcontextprotocol/client';
import { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as LegacyTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { PLANTED } from './planted-values.ts';

/** Where an agent reaches the gateway, and as whom. */
export interface AgentAccess {
  /** `http://127.0.0.1:18200` */
  readonly gatewayUrl: string;
  /** The agent's credential; the gateway keeps only its hash. */
  readonly credential: string;
  /** W3C trace id of the agent's run, 32 hex digits; the gateway derives the session from it. */
  readonly traceId: string;
}

/** One call of an agent as the agent itself saw it. */
export interface AgentCall {
  readonly upstream: string;
  readonly tool: string;
  readonly saw: 'answer' | 'tool error' | 'refusal';
  readonly text: string;
}

type CallTool = (tool: string, parameters: Record<string, unknown>) => Promise<unknown>;

/**
 * An operations agent on the SDK of the first era: notes what it learned, reads and writes files, waits for a job that
 * takes too long, and tries two things that it may not.
 *
 * @param workspace directory that the filesystem server serves.
 */
export async function runOperationsAgent(access: AgentAccess, workspace: string): Promise<AgentCall[]> {
  const calls: AgentCall[] = [];
  await withLegacyClient(access, 'memory', async (call) => {
    await note(calls, 'memory', 'create_entities', call, {
      entities: [
        {
          name: PLANTED.person,
          entityType: 'customer',
          observations: [`reach her at ${PLANTED.email} or ${PLANTED.phone}`],
        },
      ],
    });
    await note(calls, 'memory', 'search_nodes', call, { query: 'customer' });
    await note(calls, 'memory', 'delete_entities', call, { entityNames: [PLANTED.person] });
  });
  await withLegacyClient(access, 'filesystem', async (call) => {
    await note(calls, 'filesystem', 'list_directory', call, { path: workspace });
    await note(calls, 'filesystem', 'read_text_file', call, { path: `${workspace}/report.md` });
    await note(calls, 'filesystem', 'read_text_file', call, { path: `${workspace}/missing.md` });
    await note(calls, 'filesystem', 'write_file', call, {
      path: `${workspace}/deploy.env`,
      content: `AWS_ACCESS_KEY_ID=${PLANTED.awsAccessKey}\nGITHUB_TOKEN=${PLANTED.githubToken}\n`,
    });
  });
  await withLegacyClient(access, 'everything', async (call) => {
    await note(calls, 'everything', 'get-sum', call, { a: 19, b: 23 });
    await note(calls, 'everything', 'get-env', call, {});
    await note(calls, 'everything', 'trigger-long-running-operation', call, { duration: 20, steps: 4 });
  });
  return calls;
}

/** A billing agent on the SDK of the second era, where a call needs no session and carries its context in each request. */
export async function runBillingAgent(access: AgentAccess): Promise<AgentCall[]> {
  const calls: AgentCall[] = [];
  const client = new ModernClient(
    { name: 'billing-assistant', version: '2.4.0' },
    { versionNegotiation: { mode: { pin: '2026-07-28' } } },
  );
  const transport = new ModernTransport(new URL(`${access.gatewayUrl}/mcp/invoices`), {
    requestInit: { headers: headersOf(access) },
  });
  await client.connect(transport);
  try {
    await client.listTools();
    const call: CallTool = (name, parameters) => client.callTool({ name, arguments: parameters });
    await note(calls, 'invoices', 'list_invoices', call, { state: 'open' });
    await note(calls, 'invoices', 'send_reminder', call, {
      invoice: 'INV-1002',
      email: PLANTED.email,
      note: `please pay to ${PLANTED.iban}, not by card ${PLANTED.card}`,
    });
    await note(calls, 'invoices', 'send_reminder', call, {
      invoice: 'INV-4040',
      email: PLANTED.email,
      note: 'second',
    });
    await note(calls, 'invoices', 'delete_invoice', call, { invoice: 'INV-1001' });
  } finally {
    await client.close();
  }
  return calls;
}

async function withLegacyClient(
  access: AgentAccess,
  upstream: string,
  use: (call: CallTool) => Promise<void>,
): Promise<void> {
  const client = new LegacyClient({ name: 'operations-assistant', version: '1.8.2' });
  const transport = new LegacyTransport(new URL(`${access.gatewayUrl}/mcp/${upstream}`), {
    requestInit: { headers: headersOf(access) },
  });
  await client.connect(transport as Parameters<typeof client.connect>[0]);
  try {
    await client.listTools();
    await use((name, parameters) => client.callTool({ name, arguments: parameters }));
    await transport.terminateSession();
  } finally {
    await client.close();
  }
}

const headersOf = (access: AgentAccess): Record<string, string> => ({
  authorization: `Bearer ${access.credential}`,
  traceparent: `00-${access.traceId}-${access.traceId.slice(0, 16)}-01`,
});

async function note(
  calls: AgentCall[],
  upstream: string,
  tool: string,
  call: CallTool,
  parameters: Record<string, unknown>,
): Promise<void> {
  try {
    const result = (await call(tool, parameters)) as { isError?: boolean; content?: { text?: string }[] };
    const text = result.content?.[0]?.text ?? '';
    calls.push({ upstream, tool, saw: result.isError === true ? 'tool error' : 'answer', text });
  } catch (error) {
    calls.push({
      upstream,
      tool,
      saw: 'refusal',
      text: error instanceof Error ? error.message : String(error),
    });
  }
}
