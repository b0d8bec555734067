/** What the benches measured and the tables of docs/scaling.md are made of. Whoever measures anew changes it here. */
export const FIGURES = {
  /** Datum of `tools/traffic`; bench `ingest`. */
  datumBytes: 634,
  /** Frame, offset, time and its share of a record batch, beside the datum. */
  recordBytes: 20,
  /** Row in the table by bench `storage`. */
  rowBytes: 90,
  /** CPU of one event, bench `ingest`; ClickHouse with the merges of a young table. */
  ingestUs: 8.7,
  /** Of it on the thread that runs JavaScript, of which an instance has one: five sixths, by bench `sustained`. */
  ingestMainUs: 7.3,
  clickhouseUs: 9.8,
  brokerUs: 1.3,
  /** An archived event over its datum; bench `ledger`. */
  coldRatio: 0.23,
} as const;

/** What nobody measured here. */
export const ASSUMED = {
  /** Work of ClickHouse in a table of months, where a row is merged three to four times, over that of a young one. */
  oldTable: 2,
  kafkaDays: 7,
  kafkaReplicas: 3,
  hotDays: 93,
  coldDays: 365,
  tableReplicas: 2,
  /** Share of cores that is busy, and of disks that is full. */
  busy: 0.5,
  full: 0.8,
  serverCoresMax: 16,
  serverDiskTb: 20,
  /** Parts that one server takes each second without falling behind. */
  partsPerSecond: 10,
  /** A backlog is loaded at so many times the pace at which it came. */
  catchUp: 4,
  /** CAIRN_INGEST_CHUNK_AGE_MS_MAX as it comes. */
  chunkAgeMs: 250,
  /** Records of a full chunk: 32 MiB of columns. */
  chunkRecords: 70_000,
} as const;

/**
 * US dollars. They stand for list prices of a large cloud and were written from memory, not looked up: put your own in
 * their place.
 */
export const PRICES = {
  coreHour: 0.04,
  blockGbMonth: 0.08,
  objectGbMonth: 0.023,
  /** Between two zones, both directions together. */
  zoneGb: 0.02,
} as const;
