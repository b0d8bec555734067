export { type ClickHouse, type ClickHouseOptions, openClickHouse, type Settings } from './clickhouse.ts';
export { type FirstVersion, firstVersion, firstVersions } from './first-versions.ts';
export { addHold, type HoldNotes, holdNotesIn, holdNotesOf, readHolds } from './hold-notes.ts';
export {
  type GuardedHttp,
  type GuardedHttpOptions,
  type HttpAnswer,
  type HttpClient,
  type HttpRequest,
  openGuardedHttp,
  openHttpClient,
} from './http-client.ts';
export {
  type Kafka,
  type KafkaOptions,
  type KeyedValue,
  openKafka,
  type SourceOptions,
  type Topic,
} from './kafka.ts';
export { LocalDatabase } from './local-database.ts';
export {
  type MigrateOptions,
  type Migration,
  migrate,
  pendingMigrations,
  readMigrations,
} from './migrate.ts';
export { type Bucket, nameBucket } from './named-collection.ts';
export type {
  Deletion,
  ListedObject,
  ListedVersion,
  Lock,
  ObjectStore,
  PutOutcome,
  ReadOptions,
  StoreAnswer,
  StoredObject,
} from './object-store.ts';
export { type ParkedRecord, ParkedRecords, type ParkedRow } from './parked-records.ts';
export { type LockBehaviour, type LockReport, type ProbeOptions, probeLocks } from './probe-locks.ts';
export { openRedis, type Redis, type RedisOptions, type RedisScript } from './redis.ts';
export { type ObjectStoreOptions, openObjectStore } from './s3.ts';
export {
  checkSchemaIds,
  type FrameIds,
  frameIdsAt,
  type SchemaIds,
  type SchemaRegistryOptions,
} from './schema-registry.ts';
export { openSyslogTls, type SyslogTls, type SyslogTlsOptions } from './syslog-tls.ts';
export {
  requestTimestamp,
  type Timestamp,
  type TimestampAuthority,
  type TimestampOptions,
  verifyTimestamp,
} from './timestamp-authority.ts';
export {
  addCheckpoint,
  type CheckpointToWitness,
  verifiedCosignature,
  type Witness,
  type WitnessAnswer,
  type WitnessKey,
  type WitnessOptions,
  witnessKeyOf,
} from './witness.ts';
