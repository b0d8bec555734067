import { createServer, type IncomingMessage } from 'node:http';
import { type ReleasedSchema, SCHEMAS } from '@cairn/event';
import { listen, type ServiceContext, serveHealth } from '@cairn/runtime';
import { type Answer, answerRequest, type RegistryRequest } from './answer-request.ts';
import type { RegistryConfig } from './config.ts';
import { type Subjects, subjectsOf } from './subjects.ts';

/** What tests put in the place of the released schemas. */
export interface RegistryParts {
  readonly schemas?: readonly ReleasedSchema[];
}

export interface Registry extends AsyncDisposable {
  readonly port: number;
  readonly healthPort: number;
}

/**
 * Serves the released schemas to whoever reads the topics: consoles, Connect, ClickHouse, consumers in any language.
 * Nothing in Cairn itself needs it, so it may be down.
 *
 * @throws Failure `class.invalid`, `port.taken`
 */
export async function createRegistry(
  config: RegistryConfig,
  { metrics }: Pick<ServiceContext, 'metrics'>,
  parts: RegistryParts = {},
): Promise<Registry> {
  await using opening = new AsyncDisposableStack();
  const subjects = subjectsOf(parts.schemas ?? SCHEMAS, config.classes);
  const requests = metrics.counter('requests_total', 'Requests answered', ['status']);

  const server = createServer({ requestTimeout: 5_000, headersTimeout: 5_000 }, async (request, response) => {
    const { status, body } = await answerTo(subjects, request);
    requests.add(1, { status: String(status) });
    response.writeHead(status, { 'content-type': CONTENT_TYPE }).end(JSON.stringify(body));
  });
  const port = await listen(server, config.port, config.host);
  opening.defer(
    () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  const health = opening.use(
    await serveHealth({
      ...config.health,
      service: 'registry',
      metrics,
      ready: async () => ({ ok: true, checks: {} }),
    }),
  );
  const open = opening.move();
  return { port, healthPort: health.port, [Symbol.asyncDispose]: () => open.disposeAsync() };
}

const CONTENT_TYPE = 'application/vnd.schemaregistry.v1+json';
const BODY_BYTES_MAX = 1024 ** 2;

async function answerTo(subjects: Subjects, request: IncomingMessage): Promise<Answer> {
  const read = await readRequest(request).catch(() => refused(400, 'The request cannot be read'));
  return 'status' in read ? read : answerRequest(subjects, read);
}

async function readRequest(request: IncomingMessage): Promise<RegistryRequest | Answer> {
  const url = new URL(request.url ?? '/', 'http://registry');
  const path = url.pathname.split('/').filter((part) => part !== '');
  const body = await bodyOf(request);
  if (body === undefined) return refused(413, `A body has at most ${BODY_BYTES_MAX} bytes`);
  return {
    method: request.method ?? 'GET',
    path: path.map(decodeURIComponent),
    query: url.searchParams,
    body,
  };
}

function refused(status: number, message: string): Answer {
  return { status, body: { error_code: status, message } };
}

/** Undefined when it is too long. What is too long is read to its end, so that the answer arrives. */
async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes <= BODY_BYTES_MAX) chunks.push(chunk);
  }
  return bytes > BODY_BYTES_MAX ? undefined : Buffer.concat(chunks).toString();
}
