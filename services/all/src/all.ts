import { setTimeout as sleep } from 'node:timers/promises';
import { openClickHouse, openKafka } from '@cairn/adapters';
import { type Alerting, type AlertingConfig, createAlerting } from '@cairn/alerting';
import { type Archival, type ArchivalConfig, createArchival } from '@cairn/archival';
import { isFailure, messageOf } from '@cairn/failure';
import { createForwarder, type Forwarder, type ForwarderConfig } from '@cairn/forwarder';
import { createGateway, type Gateway } from '@cairn/gateway';
import { createImporter, type Importer } from '@cairn/importer';
import { createIngest, type Ingest, type IngestConfig } from '@cairn/ingest';
import { createQuery, type Query, type QueryConfig } from '@cairn/query-service';
import { createRegistry, type Registry } from '@cairn/registry';
import { createLog, createMetrics, type LogOptions, type ServiceContext } from '@cairn/runtime';
import type { AllConfig } from './config.ts';

export interface All extends AsyncDisposable {
  readonly gateway?: Gateway;
  readonly ingest?: Ingest;
  readonly registry?: Registry;
  readonly archival?: Archival;
  readonly alerting?: Alerting;
  readonly forwarder?: Forwarder;
  readonly importer?: Importer;
  readonly query?: Query;
}

/**
 * The services in one process: the same creators with the same configuration, each with metrics, log and health of its
 * own. Between them there is Kafka as always, so any of them can be taken out and run elsewhere.
 *
 * Ingest, archival, alerting, the forwarder and the API come last and are awaited: they need topics, which the gateway creates, and tables or a
 * bucket.
 */
export async function createAll(config: AllConfig, context: ServiceContext): Promise<All> {
  await using opening = new AsyncDisposableStack();
  const registry =
    config.registry && opening.use(await createRegistry(config.registry, contextOf(context, 'registry')));
  const gateway =
    config.gateway && opening.use(await createGateway(config.gateway, contextOf(context, 'gateway')));
  const importer =
    config.importer && opening.use(await createImporter(config.importer, contextOf(context, 'importer')));
  const ingest = config.ingest && (await startIngest(config.ingest, context, opening));
  const archival =
    config.archival &&
    opening.use(await started('archival', context, () => startArchival(config.archival!, context)));
  const alerting =
    config.alerting &&
    opening.use(await started('alerting', context, () => startAlerting(config.alerting!, context)));
  const forwarder =
    config.forwarder &&
    opening.use(await started('forwarder', context, () => startForwarder(config.forwarder!, context)));
  const query =
    config.query && opening.use(await started('query', context, () => startQuery(config.query!, context)));
  const open = opening.move();
  return {
    ...(registry && { registry }),
    ...(archival && { archival }),
    ...(alerting && { alerting }),
    ...(forwarder && { forwarder }),
    ...(importer && { importer }),
    ...(query && { query }),
    ...(gateway && { gateway }),
    ...(ingest && { ingest }),
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

const ATTEMPT_EVERY_MS = 1_000;

async function startIngest(
  config: IngestConfig,
  context: ServiceContext,
  opening: AsyncDisposableStack,
): Promise<Ingest> {
  const kafka = opening.use(openKafka({ brokers: config.kafka.brokers, clientId: 'cairn-ingest' }));
  const clickhouse = opening.use(openClickHouse(config.clickhouse));
  return opening.use(
    await started('ingest', context, () =>
      createIngest(config, contextOf(context, 'ingest'), { kafka, clickhouse }),
    ),
  );
}

const startArchival = (config: ArchivalConfig, context: ServiceContext): Promise<Archival> =>
  createArchival(config, contextOf(context, 'archival'));

const startAlerting = (config: AlertingConfig, context: ServiceContext): Promise<Alerting> =>
  createAlerting(config, contextOf(context, 'alerting'));

const startForwarder = (config: ForwarderConfig, context: ServiceContext): Promise<Forwarder> =>
  createForwarder(config, contextOf(context, 'forwarder'));
const startQuery = (config: QueryConfig, context: ServiceContext): Promise<Query> =>
  createQuery(config, contextOf(context, 'query'));

/**
 * Alone, a service ends when Kafka, ClickHouse or the store is away and its supervisor starts it again. Here that would end
 * the gateway as well, which can go on without them; so it is the start of the service that is repeated.
 */
async function started<Service>(
  name: string,
  context: ServiceContext,
  start: () => Promise<Service>,
): Promise<Service> {
  for (;;) {
    try {
      return await start();
    } catch (error) {
      if (!passes(error)) throw error;
      context.log.warn({ reason: messageOf(error) }, `${name} waits`);
      await sleep(ATTEMPT_EVERY_MS);
    }
  }
}

/** The topic is being created by the gateway, or the other side is away. */
function passes(error: unknown): boolean {
  return isFailure(error, 'log.no-topic') || (isFailure(error) && error.retry !== 'no');
}

function contextOf({ log, onReload }: ServiceContext, name: string): ServiceContext {
  const level = log.level as LogOptions['level'];
  return { log: createLog({ name, level }), metrics: createMetrics(name), onReload };
}
