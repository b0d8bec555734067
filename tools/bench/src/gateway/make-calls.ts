// Makes calls, as a process of its own that lives through all runs: told by its parent where and how, it answers with what
// each call took.
import { Agent, request } from 'node:http';
import { arrive, monotonicMs } from '../arrivals.ts';

/** Where calls go, and as whom. */
export interface Target {
  readonly port: number;
  readonly path: string;
  readonly credential: string | undefined;
}

/** Calls that are due at fixed moments, whether or not those before are answered. */
export interface PacedTask {
  readonly kind: 'paced';
  readonly target: Target;
  /** Milliseconds from the start, ascending. */
  readonly dueMs: readonly number[];
}

/** Calls on so many connections, each beginning when the one before is answered. */
export interface ClosedTask {
  readonly kind: 'closed';
  readonly target: Target;
  readonly connections: number;
  readonly seconds: number;
}

export type Task = PacedTask | ClosedTask;

export interface Made {
  /** Of each call: paced ones from the moment at which they were due. */
  readonly waitsMs: readonly number[];
  /** Calls that were not answered with the tool's own text. */
  readonly failed: number;
  readonly seconds: number;
}

const CONNECTIONS_MAX = 256;

process.on('message', (task: Task) => {
  const making = task.kind === 'paced' ? makePaced(task) : makeClosed(task);
  making.then(
    (made) => process.send?.(made),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      process.exit(1);
    },
  );
});
process.once('disconnect', () => process.exit(0));

async function makePaced({ target, dueMs }: PacedTask): Promise<Made> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS_MAX });
  const waitsMs = new Array<number>(dueMs.length).fill(0);
  const startMs = monotonicMs() + 50;
  let failed = 0;
  let answered = 0;
  try {
    await arrive(startMs, dueMs, (index, done, fail) => {
      call(agent, target, index).then((ok) => {
        waitsMs[index] = monotonicMs() - startMs - dueMs[index]!;
        if (!ok) failed += 1;
        answered += 1;
        if (answered === dueMs.length) done();
      }, fail);
    });
  } finally {
    agent.destroy();
  }
  return { waitsMs, failed, seconds: (monotonicMs() - startMs) / 1000 };
}

async function makeClosed({ target, connections, seconds }: ClosedTask): Promise<Made> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const waitsMs: number[] = [];
  const startMs = monotonicMs();
  const endMs = startMs + seconds * 1000;
  let failed = 0;
  await Promise.all(
    Array.from({ length: connections }, async () => {
      for (let beganMs = monotonicMs(); beganMs < endMs; ) {
        if (!(await call(agent, target, waitsMs.length))) failed += 1;
        const nowMs = monotonicMs();
        waitsMs.push(nowMs - beganMs);
        beganMs = nowMs;
      }
    }),
  );
  agent.destroy();
  return { waitsMs, failed, seconds: (monotonicMs() - startMs) / 1000 };
}

/** One call of the tool, read to the end. True when it says what it was told. */
function call(agent: Agent, { port, path, credential }: Target, id: number): Promise<boolean> {
  const text = textOf(id);
  const body = JSON.stringify({
    jsonrpc: '2.0',
    id,
    method: 'tools/call',
    params: { name: 'echo', arguments: { text }, _meta: META },
  });
  return new Promise((resolve, reject) => {
    const asked = request({
      agent,
      host: '127.0.0.1',
      port,
      path,
      method: 'POST',
      headers: {
        ...HEADERS,
        'content-length': Buffer.byteLength(body),
        ...(credential === undefined ? {} : { authorization: `Bearer ${credential}` }),
      },
    });
    asked.once('error', reject);
    asked.once('response', (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.once('error', reject);
      answer.once('end', () => resolve(says(Buffer.concat(chunks), text)));
    });
    asked.end(body);
  });
}

function says(answer: Buffer, text: string): boolean {
  const { result } = JSON.parse(answer.toString('utf8')) as {
    result?: { content?: { text?: string }[] };
  };
  return result?.content?.[0]?.text === text;
}

/** About a kibibyte as tools pass it around: an order, with numbers, times, an address, and what the guard looks for. */
const textOf = (id: number): string =>
  JSON.stringify({
    order: `SO-${100_000 + id}`,
    created: '2026-11-23T22:53:32.123Z',
    customer: { id: `cus_${id}`, name: 'Nordlicht Handel GmbH', contact: 'einkauf@nordlicht-handel.example' },
    lines: [
      { sku: 'LAMP-E27-806', quantity: 40, price: '3.15', currency: 'EUR' },
      { sku: 'CABLE-3X1.5', quantity: 12, price: '18.90', currency: 'EUR' },
    ],
    note: NOTE,
  });
const NOTE = [
  'Delivery in two parts: the cables go out with the morning tour, the lamps follow as soon as the warehouse in Bremen',
  'has counted them again. The customer asked that nothing is left at the door; please ring at number 14 and, if nobody',
  'answers, call +49 421 555 0142 before driving on. The invoice of 303.00 EUR is due 30 days after the second part, with',
  '2 % discount within 10 days. Earlier orders of this customer (2025: 14, 2026: 9) were paid on time. See also',
  'https://wiki.example/handbook/deliveries#partial and the notes of the last call.',
].join(' ');

const VERSION = '2026-07-28';

/** What the official client sends with each request of the era without sessions. */
const META = {
  'io.modelcontextprotocol/protocolVersion': VERSION,
  'io.modelcontextprotocol/clientInfo': { name: 'bench', version: '1.0.0' },
  'io.modelcontextprotocol/clientCapabilities': {},
};
const HEADERS = {
  'content-type': 'application/json',
  accept: 'application/json, text/event-stream',
  'mcp-protocol-version': VERSION,
  'mcp-method': 'tools/call',
  'mcp-name': 'echo',
};
