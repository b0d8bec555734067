import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { frameIdsAt, openKafka } from '@cairn/adapters';
import { SCHEMAS, topicOf } from '@cairn/event';
import { Failure, messageOf } from '@cairn/failure';
import { createPrivacyGuard, openKeyRing } from '@cairn/privacy';
import { type EventLog, openRecorder, type RecorderEvent } from '@cairn/recorder';
import { ensureTopicsSoon, type ServiceContext, serveHealth, VERSION } from '@cairn/runtime';
import { endCall, type OpenCall, type Outcome } from './call.ts';
import { ClientSessions } from './client-sessions.ts';
import type { GatewayConfig } from './config.ts';
import type { Core } from './core.ts';
import { createSessions } from './derive-session.ts';
import type { Upstream } from './exchange.ts';
import { httpUpstream } from './forward-http.ts';
import { stdioUpstream } from './forward-stdio.ts';
import { callersOf } from './identity.ts';
import { loadPolicy } from './load-policy.ts';
import { createGatewayMetrics } from './metrics.ts';
import { openSealer } from './open-sealer.ts';
import { PendingCalls } from './pending-calls.ts';
import { serveHttp } from './serve-http.ts';
import { serveStdio } from './serve-stdio.ts';
import { createToolCatalogue } from './tool-catalogue.ts';

/** What tests put in the place of the real systems. */
export interface GatewayParts {
  readonly log?: EventLog;
}

export interface Gateway extends AsyncDisposable {
  readonly port: number;
  readonly healthPort: number;
}

/** A transparent MCP proxy that records what passes. Starts, and takes calls, while Kafka is away. */
export async function createGateway(
  config: GatewayConfig,
  context: ServiceContext,
  parts: GatewayParts = {},
): Promise<Gateway> {
  const own = new AsyncDisposableStack();
  try {
    const core = await openCore(config, context, parts, own);
    const upstreams = new Map<string, Upstream>(
      Object.entries(config.upstreams).map(([service, upstream]) => [
        service,
        own.use(
          upstream.url === undefined
            ? stdioUpstream(core, service, upstream, PATH)
            : httpUpstream(core, service, upstream),
        ),
      ]),
    );
    const health = own.use(
      await serveHealth({
        ...config.health,
        service: 'gateway',
        metrics: context.metrics,
        // Kafka is not among the checks: calls go on without it, into the spool.
        ready: async () => {
          const { full } = core.recorder.stats();
          return { ok: !full, checks: { recorder: full ? 'the spool is full' : 'ok' } };
        },
      }),
    );
    const front = own.use(await serveHttp(core, upstreams));
    context.log.info({ port: front.port, upstreams: [...upstreams.keys()] }, 'serving MCP');
    return { port: front.port, healthPort: health.port, [Symbol.asyncDispose]: () => own.disposeAsync() };
  } catch (error) {
    await own.disposeAsync();
    throw error;
  }
}

/**
 * A gateway for one agent and one upstream over standard input and output. It has a spool of its own below the data
 * directory, so that it runs beside a gateway that serves HTTP; two of the same upstream need two data directories.
 */
export async function createStdioGateway(
  config: GatewayConfig,
  context: ServiceContext,
  service: string,
  credential: string | undefined,
  parts: GatewayParts & { readonly input?: Readable; readonly output?: Writable } = {},
): Promise<AsyncDisposable & { readonly ended: Promise<void> }> {
  const upstream = config.upstreams[service];
  if (!upstream) throw noUpstream(service, Object.keys(config.upstreams));
  const own = new AsyncDisposableStack();
  const data_directory = join(config.data_directory, 'stdio', service);
  const core = await openCore({ ...config, data_directory }, context, parts, own);
  const caller = core.callerOf(credential === undefined ? undefined : `Bearer ${credential}`);
  if (!caller) {
    await own.disposeAsync();
    throw noCaller();
  }
  const { input = process.stdin, output = process.stdout } = parts;
  const ended = serveStdio(core, { service, upstream, caller, input, output, path: PATH });
  // The host closes our input to end us.
  if (!parts.input) void ended.then(() => process.kill(process.pid, 'SIGTERM'));
  return { ended, [Symbol.asyncDispose]: () => own.disposeAsync() };
}

function noUpstream(service: string, known: readonly string[]): Failure {
  return new Failure({
    code: 'config.invalid',
    retry: 'no',
    message: `there is no upstream ${JSON.stringify(service)}`,
    mend: `Name one as the argument: ${known.join(', ')}.`,
  });
}

function noCaller(): Failure {
  return new Failure({
    code: 'config.invalid',
    retry: 'no',
    message: 'the agent is not known',
    mend: 'Set CAIRN_CREDENTIAL to a credential whose hash is among the identities.',
  });
}

const STOPPED: Outcome = {
  kind: 'lost',
  code: 'gateway.stopped',
  why: 'the gateway was stopped before an answer came',
  upstreamMs: 0,
};

/** Where commands of stdio servers are looked for. */
const PATH = '/usr/local/bin:/usr/bin:/bin';

/** Everything that calls share, whatever the transport. */
async function openCore(
  config: GatewayConfig,
  { log, metrics, onReload }: ServiceContext,
  parts: GatewayParts,
  own: AsyncDisposableStack,
): Promise<Core> {
  log.level = config.log_level;
  let policy = await loadPolicy(config.policy.directory, config.policy.mode);
  onReload(async () => {
    policy = await loadPolicy(config.policy.directory, config.policy.mode);
  });
  const guard = createPrivacyGuard({
    keys: await openKeyRing({ directory: join(config.data_directory, 'keys') }),
    rules: config.privacy.rules,
  });
  const classOf = (orgId: string): string =>
    config.retention.classes[orgId] ?? config.retention.default_class;
  const kafka = parts.log
    ? undefined
    : own.use(openKafka({ brokers: config.kafka.brokers, clientId: `cairn-gateway-${config.gateway_id}` }));
  if (kafka) ensureTopicsSoon(kafka, topicsOf(config), log);
  const recorder = await openRecorder({
    directory: join(config.data_directory, 'recorder'),
    deployment: config.deployment,
    gatewayId: config.gateway_id,
    gatewayVersion: VERSION,
    environment: config.environment,
    capture: 'gateway',
    log: (await frameIdsAt(config.schema_registry_url, SCHEMAS)).under(
      parts.log ?? kafka?.log ?? unreachable(),
    ),
    topicOf: (orgId) => topicOf(classOf(orgId)),
    partitions: config.kafka.partitions,
    orgIds: orgIdsOf(config),
    ...(config.recorder.spool_bytes_max ? { spool: { bytesMax: config.recorder.spool_bytes_max } } : {}),
    sign: config.recorder.sign,
    onFull: config.recorder.on_full,
    onEvent: (event) => report(log, event),
  });
  own.use(recorder);
  const open = new Set<OpenCall>();
  // Whoever stops the gateway stops waiting for their answers; the trail says so while it can still be written.
  own.defer(async () => {
    await Promise.all([...open].map((call) => endCall(call, STOPPED)));
  });
  const count = createGatewayMetrics(metrics);
  count.recorder(() => recorder.stats());
  return {
    config,
    callerOf: callersOf(config, guard),
    sessionOf: createSessions(guard),
    policy: () => policy,
    guard,
    sealer: await openSealer(config, guard, recorder),
    recorder,
    catalogue: createToolCatalogue(config.upstreams),
    open,
    pending: new PendingCalls(),
    sessions: new ClientSessions(),
    count,
    metrics,
    log,
  };
}

/** The topics of every class that an organisation may be of. */
function topicsOf({
  retention,
  kafka: { partitions },
}: GatewayConfig): { name: string; partitions: number }[] {
  const classes = new Set([retention.default_class, ...Object.values(retention.classes)]);
  return [...classes].map((name) => ({ name: topicOf(name), partitions }));
}

function report(log: ServiceContext['log'], event: RecorderEvent): void {
  switch (event.type) {
    case 'finding':
      log.error({ finding: event.finding }, 'the recorder found something wrong');
      break;
    case 'full':
      log.error('the spool is full: calls are refused');
      break;
    case 'room':
      log.info('the spool has room again');
      break;
    case 'ship-refused':
      log.warn({ reason: messageOf(event.error) }, 'the log refused a batch');
      break;
    case 'write-failing':
      log.error({ reason: messageOf(event.error) }, 'the spool cannot be written');
      break;
  }
}

function unreachable(): never {
  throw new Error('without a log of the parts there is a Kafka');
}

/** Organisations that can call here, and the one in whose trail refusals stand that are of none. */
const orgIdsOf = ({ deployment, identities, anonymous }: GatewayConfig): string[] => [
  ...new Set([deployment, ...[...identities, ...(anonymous ? [anonymous] : [])].map(({ org }) => org)]),
];
