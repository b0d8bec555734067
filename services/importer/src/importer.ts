import { join } from 'node:path';
import { frameIdsAt, openKafka } from '@cairn/adapters';
import { SCHEMAS, topicOf } from '@cairn/event';
import { messageOf } from '@cairn/failure';
import { createPrivacyGuard, openKeyRing, type PrivacyGuard } from '@cairn/privacy';
import { type EventLog, openRecorder, type Recorder } from '@cairn/recorder';
import { ensureTopicsSoon, owning, type ServiceContext, serveHealth, VERSION } from '@cairn/runtime';
import type { ImporterConfig } from './config.ts';
import { createImporterMetrics } from './metrics.ts';
import { draftRecorder } from './record-drafts.ts';
import { serveHttp } from './serve-http.ts';

/** What tests put in the place of the real systems. */
export interface ImporterParts {
  readonly log?: EventLog;
}

export interface Importer extends AsyncDisposable {
  readonly port: number;
  readonly healthPort: number;
}

/**
 * Events of gateways that are not ours, through the recorder into the trail: numbered, chained and sealed here, and marked as imported.
 * Starts, and takes events, while Kafka is away.
 *
 * @throws Failure when the data directory is in use or a port cannot be had.
 */
export async function createImporter(
  config: ImporterConfig,
  context: ServiceContext,
  parts: ImporterParts = {},
): Promise<Importer> {
  return owning((own) => startImporter(config, context, parts, own));
}

async function startImporter(
  config: ImporterConfig,
  { log, metrics }: ServiceContext,
  parts: ImporterParts,
  own: AsyncDisposableStack,
): Promise<Importer> {
  log.level = config.log_level;
  const count = createImporterMetrics(metrics);
  const guard = createPrivacyGuard({
    keys: await openKeyRing({ directory: join(config.data_directory, 'keys') }),
    rules: config.privacy.rules,
  });
  const kafka = parts.log
    ? undefined
    : own.use(openKafka({ brokers: config.kafka.brokers, clientId: `cairn-importer-${config.importer_id}` }));
  if (kafka) ensureTopicsSoon(kafka, topicsOf(config), log);
  const recorder = own.use(
    await openRecorder({
      directory: join(config.data_directory, 'recorder'),
      deployment: config.deployment,
      gatewayId: config.importer_id,
      gatewayVersion: VERSION,
      environment: config.environment,
      // What it says of itself; what it imports says so in each draft.
      capture: 'system',
      log: (await frameIdsAt(config.schema_registry_url, SCHEMAS)).under(parts.log ?? kafka!.log),
      topicOf: (orgId) => topicOf(classOf(config, orgId)),
      partitions: config.kafka.partitions,
      orgIds: [...new Set([config.deployment, ...config.keys.map(({ org }) => org)])],
      onEvent: (event) => log.warn({ ...event }, 'the recorder of the importer'),
    }),
  );
  const refused = refusalRecorder(recorder, guard, config.deployment);
  const health = own.use(
    await serveHealth({
      ...config.health,
      service: 'importer',
      metrics,
      ready: async () => {
        const { full } = recorder.stats();
        return { ok: !full, checks: { recorder: full ? 'the spool is full' : 'ok' } };
      },
    }),
  );
  const front = own.use(
    await serveHttp({
      config,
      guard,
      recorder: draftRecorder(recorder),
      count,
      onRefused: (route, sourceIp) =>
        refused(route, sourceIp).catch((error: unknown) =>
          log.error({ reason: messageOf(error) }, 'a refusal could not be recorded'),
        ),
      onTrouble: (error) => log.error({ reason: messageOf(error) }, 'a request could not be served'),
    }),
  );
  log.info({ port: front.port }, 'taking OTLP and events');
  return { port: front.port, healthPort: health.port, [Symbol.asyncDispose]: () => own.disposeAsync() };
}

const classOf = ({ retention }: ImporterConfig, orgId: string): string =>
  retention.classes[orgId] ?? retention.default_class;

/** Refusals beyond this many a second are not recorded one by one: whoever knocks must not fill the spool. */
const RECORDED_A_SECOND_MAX = 20;

/** Whoever comes without a valid key stands in the trail of the organisation that runs this. */
function refusalRecorder(recorder: Recorder, guard: PrivacyGuard, org: string) {
  let [second, inSecond] = [0, 0];
  return async (route: string, sourceIp: string): Promise<void> => {
    const now = Math.floor(performance.now() / 1_000);
    if (now !== second) [second, inSecond] = [now, 0];
    inSecond += 1;
    if (inSecond > RECORDED_A_SECOND_MAX) return;
    await recorder.record({
      org_id: org,
      kind: 'session',
      phase: 'single',
      source_ip: guard.token(org, 'ip', sourceIp),
      protocol: 'http',
      method: `import/${route}`,
      service: 'importer',
      decision: 'deny',
      enforcement: 'enforce',
      result_status: 'denied',
      error_code: 'importer.unauthenticated',
    });
  };
}

/** The topics of every class that an organisation may be of. */
function topicsOf({
  retention,
  kafka: { partitions },
}: ImporterConfig): { name: string; partitions: number }[] {
  const classes = new Set([retention.default_class, ...Object.values(retention.classes)]);
  return [...classes].map((name) => ({ name: topicOf(name), partitions }));
}
