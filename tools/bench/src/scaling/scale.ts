import { ASSUMED, FIGURES, PRICES } from './figures.ts';

/** What an installation needs at a rate. */
export interface Scale {
  readonly eventsPerSecond: number;
  readonly kafkaInMbs: number;
  /** All replicas. */
  readonly kafkaTb: number;
  readonly partitions: number;
  readonly instances: number;
  readonly ingestCores: number;
  readonly shards: number;
  /** Busy on each server, of a young table and of one of months. */
  readonly tableCores: { readonly young: number; readonly old: number };
  readonly serverCores: number;
  /** Parts made on each server in a second. */
  readonly partsPerSecond: number;
  /** One replica. */
  readonly hotTb: number;
  readonly coldTb: number;
}

/** Dollars a month. */
export interface Cost {
  readonly compute: number;
  readonly kafkaDisks: number;
  readonly tableDisks: number;
  readonly cold: number;
  readonly network: number;
  readonly sum: number;
  readonly perMillionEvents: number;
}

const DAY_S = 86_400;
const MONTH_S = 30.4 * DAY_S;
const PARTITIONS = [4, 12, 24, 48, 96, 192];
const SHARDS = [1, 2, 4, 8, 12, 16, 24, 32, 48, 64];
const SERVER_CORES = [4, 8, ASSUMED.serverCoresMax];
const BROKERS = ASSUMED.kafkaReplicas;

export function scaleOf(eventsPerSecond: number): Scale {
  const recordBytes = FIGURES.datumBytes + FIGURES.recordBytes;
  const coreRate = 1e6 / FIGURES.ingestMainUs;
  const ingestCores = (eventsPerSecond * FIGURES.ingestUs) / 1e6;
  const young = (eventsPerSecond * FIGURES.clickhouseUs) / 1e6;
  const old = young * ASSUMED.oldTable;
  const hotTb = (eventsPerSecond * FIGURES.rowBytes * DAY_S * ASSUMED.hotDays) / 1e12;
  const shards = atLeast(
    SHARDS,
    Math.max(old / ASSUMED.busy / ASSUMED.serverCoresMax, hotTb / ASSUMED.full / ASSUMED.serverDiskTb),
  );
  // Partition modulo shards: as many partitions on each.
  const partitions = atLeast(
    PARTITIONS.filter((count) => count % shards === 0),
    (eventsPerSecond * ASSUMED.catchUp) / coreRate,
  );
  // One may die.
  const instances = Math.min(partitions, Math.max(2, Math.ceil(ingestCores / ASSUMED.busy)));
  // The small chunks of all its partitions go by one insert of an instance; full ones go alone.
  const partsPerSecond = Math.max(
    (Math.ceil(instances / shards) * 1_000) / ASSUMED.chunkAgeMs,
    eventsPerSecond / shards / ASSUMED.chunkRecords,
  );
  return {
    eventsPerSecond,
    kafkaInMbs: (eventsPerSecond * recordBytes) / 1e6,
    kafkaTb: (eventsPerSecond * recordBytes * DAY_S * ASSUMED.kafkaDays * ASSUMED.kafkaReplicas) / 1e12,
    partitions,
    instances,
    ingestCores,
    shards,
    tableCores: { young: young / shards, old: old / shards },
    serverCores: atLeast(SERVER_CORES, old / shards / ASSUMED.busy),
    partsPerSecond,
    hotTb: hotTb / shards,
    coldTb: (eventsPerSecond * FIGURES.datumBytes * FIGURES.coldRatio * DAY_S * ASSUMED.coldDays) / 1e12,
  };
}

export function costOf(scale: Scale): Cost {
  const { eventsPerSecond, shards, instances, serverCores } = scale;
  const servers = shards * ASSUMED.tableReplicas;
  const brokerCores = atLeast(
    SERVER_CORES,
    (eventsPerSecond * FIGURES.brokerUs * ASSUMED.kafkaReplicas) / 1e6 / BROKERS / ASSUMED.busy,
  );
  const cores = instances + servers * serverCores + BROKERS * brokerCores;
  // Two of three producers and of three consumers sit in another zone than the leader; followers all do.
  const kafkaCopies = 2 / 3 + (ASSUMED.kafkaReplicas - 1) + 2 / 3;
  const crossBytes =
    eventsPerSecond *
    MONTH_S *
    ((FIGURES.datumBytes + FIGURES.recordBytes) * kafkaCopies +
      FIGURES.rowBytes * (ASSUMED.tableReplicas - 1));
  const parts = {
    compute: (cores * PRICES.coreHour * MONTH_S) / 3_600,
    kafkaDisks: (scale.kafkaTb / ASSUMED.full) * 1_000 * PRICES.blockGbMonth,
    tableDisks: ((scale.hotTb * servers) / ASSUMED.full) * 1_000 * PRICES.blockGbMonth,
    cold: scale.coldTb * 1_000 * PRICES.objectGbMonth,
    network: (crossBytes / 1e9) * PRICES.zoneGb,
  };
  const sum = Object.values(parts).reduce((total, part) => total + part, 0);
  return { ...parts, sum, perMillionEvents: sum / ((eventsPerSecond * MONTH_S) / 1e6) };
}

/** The first size that is enough. */
function atLeast(sizes: readonly number[], needed: number): number {
  const size = sizes.find((size) => size >= needed);
  if (size === undefined) throw new Error(`nothing of ${sizes.join(', ')} is ${needed}`);
  return size;
}
