import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure, isFailure, messageOf } from '@cairn/failure';
import { type Deletion, type Lock, type ObjectStore, type StoreAnswer, wholeSecond } from './object-store.ts';

/** What a store was seen to do with one kind of request. */
export interface LockBehaviour {
  readonly name: string;
  readonly holds: boolean;
  /** True when evidence is lost or doubled without it; the archive must not be written to such a store. */
  readonly reliedOn: boolean;
  /** What was seen instead, or how much of it. */
  readonly seen: string;
}

export interface LockReport {
  readonly behaviours: readonly LockBehaviour[];
  /** Names of those that are relied on and do not hold. Empty: the store is fit. */
  readonly missing: readonly string[];
  /** How far the store's clock is ahead of ours, to the second. Locks end by the store's clock. */
  readonly clockAheadMs: number;
}

export interface ProbeOptions {
  /** Where the probe's objects are put; they can be deleted after seconds, and are. Default `probe/`. */
  readonly prefix?: string;
  /** How long they are locked; default 4,000, at least 3,000. */
  readonly lockMs?: number;
  /** The clock that the store's is compared with, milliseconds since 1970; default the machine's. */
  readonly nowMs?: () => number;
}

/** How many puts race for one key. */
const RACERS = 20;

/**
 * Tries the store's locks on objects of its own and reports what holds. It waits for a lock to end, and so takes a few
 * seconds longer than `lockMs`. Its objects are deleted at the end; what a store keeps locked by mistake stays.
 *
 * A store that answers so slowly that a lock has ended before it was tried says nothing: it is tried again with locks twice as
 * long. A bucket's default retention is not tried, because it is not relied on: every object is put with its own date.
 *
 * @throws Failure as the store's methods: nothing can be said of a store that does not answer, or not within a minute's lock
 */
export async function probeLocks(store: ObjectStore, options: ProbeOptions = {}): Promise<LockReport> {
  const { prefix = 'probe/', nowMs = Date.now } = options;
  for (let lockMs = Math.max(options.lockMs ?? 4_000, LOCK_MS_LEAST); ; lockMs *= 2) {
    const folder = `${prefix}${randomBytes(8).toString('hex')}/`;
    const probe: Probe = { store, folder, bytes: randomBytes(1_024), lockMs };
    const report = await probeOnce(probe, nowMs).catch((error: unknown) => {
      if (isFailure(error, 'probe.late') && lockMs < LOCK_MS_MOST) return undefined;
      throw error;
    });
    await clear(probe);
    if (report !== undefined) return report;
  }
}

const LOCK_MS_LEAST = 3_000;
const LOCK_MS_MOST = 60_000;
/** Stores and we round dates to seconds. */
const LATE_MS = 1_000;

/** @throws Failure `probe.late` when a lock may have ended before the store was asked about it. */
async function probeOnce(probe: Probe, nowMs: () => number): Promise<LockReport> {
  const began = performance.now();
  const late = (): boolean => performance.now() - began > probe.lockMs - LATE_MS;
  const clockAheadMs = await compareClocks(probe, nowMs).catch((error: unknown) => {
    throw late() ? tooLate(probe, error) : error;
  });
  // Beside each other, so that the locks are waited for once. They share nothing but the store.
  const looks = await Promise.allSettled(
    BEHAVIOURS.map(async ({ name, reliedOn, look }): Promise<LockBehaviour> => {
      const beganLook = performance.now();
      const seen = await look({ ...probe, folder: `${probe.folder}${name}/` });
      const tookMs = performance.now() - beganLook;
      // Those that wait for the end of a lock are late on purpose.
      if (!seen.holds && !WAITING.has(name) && tookMs > probe.lockMs - LATE_MS)
        throw tooLate(probe, seen.seen);
      return { name, reliedOn, ...seen };
    }),
  );
  const behaviours = looks.map((look) => {
    if (look.status === 'rejected')
      throw isFailure(look.reason, 's3.refused') && late() ? tooLate(probe, look.reason) : look.reason;
    return look.value;
  });
  const missing = behaviours.filter(({ reliedOn, holds }) => reliedOn && !holds).map(({ name }) => name);
  return { behaviours, missing, clockAheadMs };
}

const WAITING: ReadonlySet<string> = new Set(['deletion-after-expiry', 'legal-hold-refuses-deletion']);

function tooLate({ lockMs }: Probe, cause: unknown): Failure {
  return new Failure({
    code: 'probe.late',
    retry: 'later',
    message: `the object store answers too slowly: locks of ${lockMs / 1_000} s end before they are tried`,
    cause,
  });
}

interface Probe {
  readonly store: ObjectStore;
  readonly folder: string;
  readonly bytes: Uint8Array;
  readonly lockMs: number;
}

interface Seen {
  readonly holds: boolean;
  readonly seen: string;
}

const BEHAVIOURS = [
  { name: 'create-once', reliedOn: true, look: lookAtRace },
  { name: 'checksum-compared', reliedOn: true, look: lookAtChecksum },
  { name: 'read-back-by-version', reliedOn: true, look: lookAtReadBack },
  { name: 'lock-shown', reliedOn: true, look: lookAtLock },
  { name: 'deletion-refused', reliedOn: true, look: lookAtDeletion },
  { name: 'shortening-refused', reliedOn: true, look: lookAtShortening },
  { name: 'extension-granted', reliedOn: true, look: lookAtExtension },
  { name: 'deletion-after-expiry', reliedOn: true, look: lookAtExpiry },
  { name: 'legal-hold-refuses-deletion', reliedOn: false, look: lookAtHold },
] as const satisfies readonly {
  readonly name: string;
  readonly reliedOn: boolean;
  readonly look: (probe: Probe) => Promise<Seen>;
}[];

/** The store stamps whole seconds: less than two apart is equal. */
async function compareClocks(probe: Probe, nowMs: () => number): Promise<number> {
  const before = nowMs();
  const { head } = await putOne(probe, 'clock');
  const aheadMs = head.storedAt.getTime() - before;
  return Math.abs(aheadMs) < 2_000 ? 0 : aheadMs;
}

async function lookAtRace({ store, folder, lockMs }: Probe): Promise<Seen> {
  const key = `${folder}race`;
  const retainUntil = new Date(Date.now() + lockMs);
  const racers = Array.from({ length: RACERS }, (_, racer) => Buffer.from(`racer ${racer}`));
  const ends = await Promise.all(
    racers.map(async (bytes) => {
      const put = store.putLocked(key, bytes, { mode: 'COMPLIANCE', retainUntil });
      // A store may tell a racer to come again: that one has lost, or nobody has won.
      return put.catch((error: unknown) => {
        if (isFailure(error, 's3.busy')) return { outcome: 'exists' as const };
        throw error;
      });
    }),
  );
  const winners = ends.flatMap((end, racer) => (end.outcome === 'created' ? [racer] : []));
  const kept = await store.get(key, { bytesMax: 100 });
  const whole = winners.length === 1 && racers[winners[0] ?? -1]?.equals(kept) === true;
  return { holds: whole, seen: `${winners.length} of ${RACERS} puts created the object` };
}

async function lookAtChecksum({ store, folder, bytes, lockMs }: Probe): Promise<Seen> {
  const key = `${folder}checksum`;
  const wrong = new Uint8Array(32);
  const lock: Lock = { mode: 'COMPLIANCE', retainUntil: new Date(Date.now() + lockMs) };
  const end = await store.putLocked(key, bytes, lock, wrong).then(
    () => 'took bytes with a wrong checksum',
    (error: unknown) => {
      if (isFailure(error) && error.retry !== 'later') return error.code;
      throw error;
    },
  );
  const stored = (await store.head(key)) !== undefined;
  return { holds: end.startsWith('s3.') && !stored, seen: stored ? `${end}, and kept them` : end };
}

async function lookAtReadBack(probe: Probe): Promise<Seen> {
  const { key, version } = await putOne(probe, 'read');
  const got = await probe.store.get(key, { version, bytesMax: probe.bytes.length });
  const holds = Buffer.compare(got, probe.bytes) === 0;
  return { holds, seen: holds ? 'the bytes of the version came back' : 'other bytes came back' };
}

async function lookAtLock(probe: Probe): Promise<Seen> {
  const { head, lock } = await putOne(probe, 'lock');
  const seen = head.lock ? `${head.lock.mode} until ${head.lock.retainUntil.toISOString()}` : 'no lock';
  const holds =
    head.lock?.mode === 'COMPLIANCE' &&
    head.lock.retainUntil.getTime() === wholeSecond(lock.retainUntil).getTime();
  return { holds, seen };
}

async function lookAtDeletion(probe: Probe): Promise<Seen> {
  const { key, version } = await putOne(probe, 'deletion');
  const { outcome, answer } = await probe.store.deleteVersion(key, version);
  const there = (await probe.store.head(key, version)) !== undefined;
  return { holds: outcome !== 'deleted' && there, seen: answerText(answer) };
}

async function lookAtShortening(probe: Probe): Promise<Seen> {
  const { key, version, lock } = await putOne(probe, 'shortening');
  const sooner: Lock = { mode: 'COMPLIANCE', retainUntil: new Date(lock.retainUntil.getTime() - 2_000) };
  const answer = await probe.store.demandLock(key, version, sooner);
  const after = await probe.store.head(key, version);
  const stands = (after?.lock?.retainUntil.getTime() ?? 0) >= lock.retainUntil.getTime();
  return { holds: answer.status >= 400 && stands, seen: answerText(answer) };
}

async function lookAtExtension(probe: Probe): Promise<Seen> {
  const { key, version, lock } = await putOne(probe, 'extension');
  const later = new Date(lock.retainUntil.getTime() + 1_000);
  const extended = await probe.store.extendLock(key, version, later).catch((error: unknown) => {
    if (isFailure(error, 's3.locked')) return error;
    throw error;
  });
  return isFailure(extended)
    ? { holds: false, seen: messageOf(extended) }
    : { holds: true, seen: `until ${extended.retainUntil.toISOString()}` };
}

async function lookAtExpiry(probe: Probe): Promise<Seen> {
  const { key, version, lock } = await putOne(probe, 'expiry');
  await sleepUntil(lock);
  const answer = await deleteInTime(probe.store, key, version);
  return { holds: answer.outcome === 'deleted', seen: answerText(answer.answer) };
}

/** Some stores, versitygw 1.8 among them, forget a legal hold when the lock beside it ends. */
async function lookAtHold(probe: Probe): Promise<Seen> {
  const { key, version, lock } = await putOne(probe, 'hold');
  const held = await probe.store.setLegalHold(key, version, true).then(
    () => true,
    (error: unknown) => {
      if (isFailure(error, 's3.refused')) return false;
      throw error;
    },
  );
  if (!held) return { holds: false, seen: 'the store takes no legal hold' };
  await sleepUntil(lock);
  await sleep(1_000);
  const { outcome, answer } = await probe.store.deleteVersion(key, version);
  if (outcome === 'deleted')
    return { holds: false, seen: 'deleted under a legal hold once the lock had ended' };
  await probe.store.setLegalHold(key, version, false);
  return { holds: true, seen: answerText(answer) };
}

async function putOne({ store, folder, bytes, lockMs }: Probe, name: string) {
  const key = `${folder}${name}`;
  const lock: Lock = { mode: 'COMPLIANCE', retainUntil: wholeSecond(new Date(Date.now() + lockMs)) };
  const put = await store.putLocked(key, bytes, lock);
  const head = await store.head(key);
  // The folder's name was drawn at random: what is in the way is a store that does not do what it says.
  if (put.outcome === 'exists' || head === undefined) throw unfit(`${key} was put and is not there`);
  return { key, version: put.version, lock, head };
}

const sleepUntil = ({ retainUntil }: Lock): Promise<void> =>
  sleep(Math.max(0, retainUntil.getTime() - Date.now()));

/** The store's clock may be behind ours. */
const LATENESS_MS_MAX = 10_000;

async function deleteInTime(store: ObjectStore, key: string, version: string): Promise<Deletion> {
  for (let waited = 0; ; waited += 500) {
    const deletion = await store.deleteVersion(key, version);
    if (deletion.outcome === 'deleted' || waited >= LATENESS_MS_MAX) return deletion;
    await sleep(500);
  }
}

async function clear({ store, folder }: Probe): Promise<void> {
  for await (const { key, version } of store.listVersions(folder)) await deleteInTime(store, key, version);
}

function answerText({ status, code }: StoreAnswer): string {
  return `${status} ${code}`.trim();
}

function unfit(message: string): Failure {
  return new Failure({
    code: 's3.refused',
    retry: 'no',
    message: `the object store cannot be probed: ${message}`,
  });
}
