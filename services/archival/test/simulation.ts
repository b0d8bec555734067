import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ObjectStore } from '@cairn/adapters';
import { frame, partitionOf } from '@cairn/event';
import { Failure } from '@cairn/failure';
import { Acceptance, gatewaySubject, hexOfHash, openManifest, originOf, readSegment } from '@cairn/ledger';
import { policyOf, readPolicy } from '@cairn/retention';
import { Random } from '@cairn/traffic';
import { ObjectStoreInMemory } from '../../../packages/adapters/test/object-store-in-memory.ts';
import { Gateway } from '../../../packages/ledger/test/deployment.ts';
import { LogInMemory, TOPIC } from '../../../packages/runtime/test/log-in-memory.ts';
import { SimulatedClock } from '../../../packages/runtime/test/simulated-clock.ts';
import { SimulatedProcess } from '../../../packages/runtime/test/simulated-process.ts';
import { archivePartitions } from '../src/archive-partitions.ts';
import type { Finding } from '../src/finding.ts';
import { KnownKeys, readKeyHistory } from '../src/known-keys.ts';
import type { ArchiveStore } from '../src/store-object.ts';
import type { LogRetention } from '../src/write-segment.ts';
import { auditBucket } from './audit-bucket.ts';
import { DeploymentKeys } from './deployment-keys.ts';

/** How one run went: nothing in `wrong` when every promise held. */
export interface Verdict {
  readonly seed: number;
  readonly wrong: readonly string[];
  /** What happened, in order; for a run that went wrong. */
  readonly story: readonly string[];
  readonly troubles: number;
  /** Objects that were found where an earlier try had put them. */
  readonly repeats: number;
  readonly findings: readonly Finding[];
}

export const DEPLOYMENT = 'audit.example';
const PARTITIONS = 2;
const GATEWAYS = 3;
/** When the simulated time begins, milliseconds since 1970. */
const BEGIN_MS = 1_795_000_000_000;

const policyFile = join(import.meta.dirname, '..', '..', '..', 'deploy', 'config', 'retention.yaml');
export const policy = policyOf(readPolicy(readFileSync(policyFile, 'utf8')), policyFile);

export const retention: LogRetention = {
  retentionClass: policy.classes.get('standard')!,
  policy: policy.hash,
  renewal: policy.lockRenewal,
};

/**
 * Archival, as it is, over a log and a store in memory, on simulated time, in bad weather: requests and answers are lost,
 * late, doubled or altered, processes die and freeze anywhere between two steps, partitions wander, and a second group of
 * archivers writes the same bucket. Then the weather clears, everything is started once more, and every promise is looked
 * at. The same seed gives the same run.
 */
export async function simulate(seed: number): Promise<Verdict> {
  const random = new Random(seed);
  const clock = new SimulatedClock(() => random.unit());
  const nowMs = (): number => BEGIN_MS + clock.nowMs();
  const log = new LogInMemory(clock, PARTITIONS);
  const bucket = new ObjectStoreInMemory(() => Math.floor(nowMs()));
  const story: string[] = [];
  const tell = (text: string): void => void story.push(`${clock.nowMs().toFixed(1)} ${text}`);
  const findings: Finding[] = [];
  let bad = true;
  let troubles = 0;
  let repeats = 0;

  const origins = log.partitions.map((_, partition) =>
    originOf({ deployment: DEPLOYMENT, topic: TOPIC, partition }),
  );
  const keys = new DeploymentKeys(DEPLOYMENT, origins);
  const gateways = Array.from({ length: GATEWAYS }, (_, index) => new Gateway('acme', `gw-${index}`));
  for (const { org, gateway, signer } of gateways)
    keys.state('gateway', gatewaySubject(org, gateway), signer.key);
  await bucket.ensureBucket();
  await keys.store(bucket, new Date(BEGIN_MS + 86_400_000));
  fillLog(log, gateways, random);

  // Another group reads the same topic: nothing fences the two but the store.
  const rogue = new LogInMemory(clock, PARTITIONS);
  rogue.partitions.splice(0, PARTITIONS, ...log.partitions);

  const start = (name: string, group: LogInMemory) => {
    const simulated = new SimulatedProcess({
      name,
      clock,
      random,
      tell,
      isBad: () => bad,
      expel: () => group.expel(name),
    });
    const travel = () => simulated.travel();
    const draw = (): number => (bad ? random.unit() : 1);
    const archivers = archivePartitions({
      source: group.source(name, simulated.member(20)),
      store: inWeather(bucket, travel, draw),
      deployment: DEPLOYMENT,
      signing: keys.signing,
      keys: async () => KnownKeys.read(keys.signing, () => readKeyHistory(bucket, DEPLOYMENT, keys.root.key)),
      releasedIdOf: (id) => id,
      retentionOf: () => retention,
      watch: { unsealedMax: 256, silenceMsMax: 3_600_000_000 },
      notesLockMs: 86_400_000,
      nowMs,
      limits: { recordsMax: 1 + random.below(30), bytesMax: 1 << 20, ageMsMax: random.below(8) },
      bufferBytesMax: 16_000,
      segmentAgeMsMax: 10 + random.below(60),
      retry: { firstMs: 2, mostMs: 40 },
      clock,
      onOpened: ({ partition }, opened) =>
        tell(
          `${name}: partition ${partition} opened at leaf ${opened.committed}, offset ${opened.start}, end ${opened.fixedEnd}`,
        ),
      onTaken: () => {},
      onStored: ({ partition }, { manifest, isNew }) => {
        if (!isNew) repeats += 1;
        tell(
          `${name}: partition ${partition} stored [${manifest.first}, ${manifest.end})${isNew ? '' : ' again'}`,
        );
      },
      onFinding: (finding) => {
        findings.push(finding);
        tell(`${name}: found ${finding.reason} in ${finding.origin} at ${finding.at}: ${finding.detail}`);
      },
      onTrouble: ({ partition }, error) => {
        troubles += 1;
        if (!(error instanceof Failure))
          tell(`${name}: MISTAKE ${error instanceof Error ? error.stack : error}`);
        tell(`${name}: partition ${partition} in trouble: ${error instanceof Error ? error.message : error}`);
      },
    });
    return {
      kill: () => simulated.kill(),
      freeze: (ms: number) => simulated.freeze(ms),
      async stop() {
        await (await archivers)[Symbol.asyncDispose]();
      },
    };
  };

  let born = 0;
  const alive = new Set([start(`p${born++}`, log)]);
  const other = random.chance(0.6) ? start('rogue', rogue) : undefined;
  const someone = () => [...alive][random.below(alive.size)];
  const mischief = 3 + random.below(8);
  for (let act = 0; act < mischief; act += 1) {
    await clock.runUntil(() => false, 5 + random.unit() * 100);
    const victim = someone();
    switch (random.below(4)) {
      case 0:
      case 1:
        if (victim) {
          victim.kill();
          alive.delete(victim);
        }
        alive.add(start(`p${born++}`, log));
        break;
      case 2:
        victim?.freeze(random.unit() * 120);
        break;
      default:
        tell('the partitions wander');
        log.rebalance();
    }
  }

  bad = false;
  tell('the weather clears');
  for (const one of alive) one.kill();
  other?.kill();
  const last = start('last', log);
  const wanted = log.partitions.map((records, partition) => leavesOf(records, partition));
  const committed = async (): Promise<boolean> => {
    for (const [partition, origin] of origins.entries()) {
      let size = 0;
      for await (const { key } of bucket.list(`checkpoint/${origin.slice(origin.indexOf('/') + 1)}/`))
        size = Number(key.slice(-25, -5));
      if (size !== wanted[partition]!.length) return false;
    }
    return true;
  };
  let done = false;
  for (let look = 0; look < 100 && !done; look += 1) {
    await clock.runUntil(() => false, 100);
    done = await committed();
  }
  void last.stop();
  const wrong = done ? [] : ['not every event is archived'];
  wrong.push(...(await judge(bucket, keys, origins, wanted)));
  for (const { reason, origin, at, detail } of findings) {
    // Nothing is wrong with streams or records here; what is read altered on the way, or put by the other group, is told.
    if (!['missing', 'second-writer'].includes(reason))
      wrong.push(`an unexplained ${reason} of ${origin} at ${at}: ${detail}`);
  }
  for (const line of story) if (line.includes('MISTAKE')) wrong.push(line);
  return { seed, wrong, story, troubles, repeats, findings };
}

interface WantedLeaf {
  readonly offset: number;
  /** Hex. */
  readonly hash: string;
}

/** The leaves of a partition, by one pass of acceptance that nothing interrupts. */
function leavesOf(records: LogInMemory['partitions'][number], partition: number): WantedLeaf[] {
  const acceptance = new Acceptance({ partition, partitions: PARTITIONS });
  return records.flatMap((record) => {
    const accepted = acceptance.accept(record);
    return accepted.outcome === 'leaf'
      ? [{ offset: record.offset, hash: hexOfHash(accepted.leaf.hash) }]
      : [];
  });
}

async function judge(
  bucket: ObjectStoreInMemory,
  keys: DeploymentKeys,
  origins: readonly string[],
  wanted: readonly (readonly WantedLeaf[])[],
): Promise<string[]> {
  const wrong: string[] = [];
  const { logs, strange } = await auditBucket(bucket, DEPLOYMENT, keys.root.key);
  for (const name of strange) wrong.push(`${name} is none of the archive's objects`);
  for (const [partition, origin] of origins.entries()) {
    if (wanted[partition]!.length === 0) continue;
    const report = logs.get(origin);
    if (report?.verdict !== 'intact')
      wrong.push(`${origin} is ${report?.verdict}: ${JSON.stringify(report?.findings.slice(0, 3))}`);
    for (const stream of report?.streams ?? [])
      if (stream.verdict !== 'intact')
        wrong.push(`${origin} ${stream.gatewayId} ${stream.epoch}: ${stream.reasons}`);
    const found = await leavesIn(bucket, keys, origin);
    if (JSON.stringify(found) !== JSON.stringify(wanted[partition]))
      wrong.push(
        `${origin} holds ${found.length} leaves, which are not the ${wanted[partition]!.length} of Kafka`,
      );
  }
  for await (const { key, deleteMarker, latest } of bucket.listVersions(''))
    if (deleteMarker || !latest) wrong.push(`${key} has more than one version`);
  return wrong;
}

/** Every leaf of every segment that a manifest names. */
async function leavesIn(
  bucket: ObjectStoreInMemory,
  keys: DeploymentKeys,
  origin: string,
): Promise<WantedLeaf[]> {
  const leaves: WantedLeaf[] = [];
  for await (const { key } of bucket.list(`manifest/${origin.slice(origin.indexOf('/') + 1)}/`)) {
    const manifest = openManifest(await bucket.get(key, { bytesMax: 1 << 24 }), [keys.signing.archive.key]);
    const parts = [];
    for (const { key: name, schema } of manifest.objects)
      parts.push({ schemaId: schema, bytes: await bucket.get(name, { bytesMax: 1 << 28 }) });
    readSegment(manifest, parts, ({ offset, hash }) => void leaves.push({ offset, hash: hexOfHash(hash) }));
  }
  return leaves;
}

/** A store behind a line on which requests and answers are lost, doubled and altered. */
function inWeather(store: ObjectStore, travel: () => Promise<void>, draw: () => number): ArchiveStore {
  const lost = (what: string): Failure =>
    new Failure({ code: 's3.unreachable', retry: 'later', message: `${what}: no answer came` });
  const once = async <T>(what: string, apply: () => Promise<T>): Promise<T> => {
    await travel();
    const luck = draw();
    if (luck < 0.015) throw lost(what);
    if (luck > 0.985 && luck < 1) await apply();
    const answer = await apply();
    await travel();
    if (luck < 0.03) throw lost(`${what}, which was applied`);
    if (luck < 0.035 && answer instanceof Uint8Array) {
      const other = new Uint8Array(answer);
      const middle = other.length >> 1;
      other[middle] = other[middle]! ^ 1;
      return other as T;
    }
    return answer;
  };
  async function* many<T>(what: string, items: () => AsyncIterable<T>): AsyncGenerator<T> {
    yield* await once(what, () => Array.fromAsync(items()));
  }
  return {
    putLocked: (key, ...rest) => once(`put ${key}`, () => store.putLocked(key, ...rest)),
    head: (key, version) => once(`head ${key}`, () => store.head(key, version)),
    get: (key, reading) => once(`get ${key}`, () => store.get(key, reading)),
    list: (prefix, after) => many(`list ${prefix}`, () => store.list(prefix, after)),
    listVersions: (prefix) => many(`list ${prefix}`, () => store.listVersions(prefix)),
    extendLock: (key, ...rest) => once(`lock ${key}`, () => store.extendLock(key, ...rest)),
    setLegalHold: (key, ...rest) => once(`hold ${key}`, () => store.setLegalHold(key, ...rest)),
    deleteVersion: (key, version) => once(`delete ${key}`, () => store.deleteVersion(key, version)),
  };
}

/** Streams of several gateways in two or three epochs, now and then sent twice, with records between that are no events. */
function fillLog(log: LogInMemory, gateways: readonly Gateway[], random: Random): void {
  const lanes = gateways.map((gateway) => {
    const values: Uint8Array[] = [];
    const epochs = 1 + random.below(3);
    for (let epoch = 0; epoch < epochs; epoch += 1) {
      if (epoch > 0) gateway.restart();
      values.push(...gateway.stream(3 + random.below(40)));
    }
    return {
      partition: partitionOf(gateway.org, gateway.gateway, PARTITIONS),
      values: resent(
        values.map((datum) => frame(1, datum)),
        random,
      ),
    };
  });
  let time = BEGIN_MS;
  for (let left = lanes.filter(({ values }) => values.length > 0); left.length > 0; ) {
    const lane = left[random.below(left.length)]!;
    if (random.chance(0.03)) log.append(lane.partition, random.bytes(random.below(20)), time);
    log.append(lane.partition, lane.values.shift()!, time);
    time += random.below(2);
    left = lanes.filter(({ values }) => values.length > 0);
  }
}

/** A producer that was not told that its batch arrived sends it again, before anything newer. */
function resent(values: readonly Uint8Array[], random: Random): Uint8Array[] {
  const result: Uint8Array[] = [];
  for (let at = 0; at < values.length; ) {
    const batch = values.slice(at, at + 1 + random.below(8));
    result.push(...batch);
    if (random.chance(0.1)) result.push(...batch);
    at += batch.length;
  }
  return result;
}
