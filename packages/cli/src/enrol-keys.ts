import { type Evidence, NOTE_BYTES_MAX, readKeys, SEGMENT_BYTES_MAX } from '@cairn/archive';
import { Failure } from '@cairn/failure';
import {
  anchorOrigin,
  archiveKeyName,
  isPersonName,
  type KeyHistory,
  type KeyRole,
  type KeyStatement,
  type Manifest,
  manifestForm,
  type NoteKey,
  type NoteSigner,
  parseObjectName,
  parseOrigin,
  parseStatement,
  readSegment,
  rootKeyName,
  splitNote,
} from '@cairn/ledger';
import { putStatement } from './put-statement.ts';

export interface Enrolment {
  readonly root: NoteSigner;
  readonly deployment: string;
  /** As their owners handed them over. */
  readonly keys: readonly NoteKey[];
  /** Whether a key may take the place of one that is valid. */
  readonly isRotation: boolean;
  readonly lockUntil: Date;
}

export interface Enrolled {
  /** Places of keys that the history had already. */
  readonly known: number;
  readonly refused: readonly { readonly key: NoteKey; readonly subject: string; readonly why: string }[];
}

/**
 * States what the history lacks of the keys that were handed over, each statement after the one before. Safe to repeat: what
 * was stated is left, and what an earlier try began is ended.
 *
 * The first key of a place is valid from its beginning on. One that takes the place of another begins where the archive has it
 * first, and the other ends there; only the archive's own key begins at 0 all the same, since it signs the tombstones of old
 * segments as well. What was signed before stays as valid as it was.
 *
 * @throws Failure `key-history.broken` (no) when the history does not hold; of the store.
 */
export async function enrolKeys(
  evidence: Evidence,
  { root, deployment, keys, isRotation, lockUntil }: Enrolment,
  onStated: (statement: KeyStatement) => void,
): Promise<Enrolled> {
  const { history, verdict } = await readKeys(evidence, root.key);
  const [damage] = verdict.findings.filter(({ class: kind }) => kind === 'broken');
  if (damage !== undefined) throw broken(`it does not hold at ${damage.object}: ${damage.detail}`);
  const origins = await logsOf(evidence, history, deployment, keys);
  const refused: Enrolled['refused'][number][] = [];
  let known = 0;

  const state = async (place: Place, key: NoteKey, from: number, until: number | null, reason: string) => {
    const { role, subject } = place;
    const said = { from, reason, role, subject, until, vkey: key.vkey };
    const put = await putStatement(evidence, history, root, lockUntil, said);
    if ('taken' in put) throw broken(`${put.taken} was written meanwhile; begin again`);
    onStated(put.statement);
  };

  for (const key of keys) {
    for (const place of placesOf(key, deployment, origins)) {
      const { role, subject } = place;
      const ranges = history.rangesOf(role, subject);
      const stated = ranges.find((range) => range.key.vkey === key.vkey);
      const replaced = ranges.filter(
        (range) =>
          range.until === Number.POSITIVE_INFINITY && !keys.some(({ vkey }) => vkey === range.key.vkey),
      );
      if (stated !== undefined) known += 1;
      else if (replaced.length > 0 && !isRotation) {
        const why = `key ${replaced[0]!.key.keyId} is valid there; --rotated lets this one take its place`;
        refused.push({ key, subject, why });
        continue;
      }
      if (stated !== undefined && (!isRotation || replaced.length === 0)) continue;
      const begins = replaced.length === 0 ? 0 : await beginningOf(evidence, place, key);
      // The new key first: after a crash between the two both are valid, and a repeat ends the other.
      if (stated === undefined)
        await state(place, key, role === 'archive' ? 0 : begins, null, begins === 0 ? '' : 'rotated');
      for (const other of replaced) await state(place, other.key, other.from, begins, 'rotated');
    }
  }
  return { known, refused };
}

/** What a key is stated for. */
interface Place {
  readonly role: KeyRole;
  readonly subject: string;
}

/** By the key's name. @throws Failure `config.invalid` for a name that has no role here. */
function placesOf({ name }: NoteKey, deployment: string, origins: readonly string[]): Place[] {
  if (name === anchorOrigin(deployment)) return [{ role: 'anchor', subject: name }];
  if (name === archiveKeyName(deployment))
    return origins.map((subject) => ({ role: 'archive' as const, subject }));
  const [, of, org, gateway] = /^([^/]+)\/([^/]+)\/gw\/([^/]+)$/.exec(name) ?? [];
  if (of === deployment && org !== undefined) return [{ role: 'gateway', subject: `${org}/${gateway}` }];
  const person = name.startsWith(`${deployment}/person/`) ? name.slice(`${deployment}/person/`.length) : '';
  if (isPersonName(person)) return [{ role: 'person', subject: person }];
  if (isLogOf(name, deployment)) return [{ role: 'log', subject: name }];
  const what = name === rootKeyName(deployment) ? 'the root key, which is never stated' : 'no key of';
  throw new Failure({
    code: 'config.invalid',
    retry: 'no',
    message: `${JSON.stringify(name.slice(0, 200))} is ${what} ${deployment}`,
    mend: 'Hand over keys of gateways, logs, the archive and the anchor log; state keys of witnesses with `cairn keys state`.',
  });
}

function isLogOf(name: string, deployment: string): boolean {
  try {
    return parseOrigin(name).deployment === deployment;
  } catch {
    return false;
  }
}

/** Every log that the archive, its key history or a handed key names: the archive's key is stated for each. */
async function logsOf(
  evidence: Evidence,
  history: KeyHistory,
  deployment: string,
  keys: readonly NoteKey[],
): Promise<string[]> {
  const origins = new Set(history.subjectsOf('log'));
  for (const { name } of keys) if (isLogOf(name, deployment)) origins.add(name);
  for await (const { name } of evidence.list('checkpoint/')) {
    const parsed = parseObjectName(name);
    if (parsed?.kind === 'checkpoint') origins.add(`${deployment}/${parsed.folder}`);
  }
  return [...origins].sort();
}

/**
 * The position from which on a place is signed for by this key: the first that the archive has by it, or the one behind
 * everything that it has.
 */
async function beginningOf(evidence: Evidence, { role, subject }: Place, key: NoteKey): Promise<number> {
  if (role === 'gateway') return firstEpochBy(evidence, subject, key);
  if (role === 'person') return (await Array.fromAsync(evidence.list('hold/'))).length;
  const folder = subject.slice(subject.indexOf('/') + 1);
  const prefix =
    role === 'anchor' ? 'anchor/checkpoint/' : `${role === 'log' ? 'checkpoint' : 'manifest'}/${folder}/`;
  const names: { readonly name: string; readonly version: string }[] = [];
  for await (const { name, version } of evidence.list(prefix)) names.push({ name, version });
  // Of a manifest the position is its end, which is above its beginning.
  const behind = (name: string): number => numberIn(name) + (role === 'archive' ? 1 : 0);
  let begins = names.length === 0 ? 0 : behind(names.at(-1)!.name) + (role === 'archive' ? 0 : 1);
  for (const { name, version } of names.toReversed()) {
    const note = (await evidence.read(name, NOTE_BYTES_MAX, version)) ?? new Uint8Array();
    if (!splitNote(note).lines.some((line) => line.name === key.name && line.keyId === key.keyId)) break;
    begins = behind(name);
  }
  return begins;
}

function numberIn(name: string): number {
  const parsed = parseObjectName(name);
  if (parsed?.kind === 'checkpoint' || parsed?.kind === 'anchor-checkpoint') return parsed.size;
  return parsed?.kind === 'manifest' ? parsed.first : 0;
}

/** The least epoch of a gateway whose events are signed by this key, of those without one between; else the next one. */
async function firstEpochBy(evidence: Evidence, subject: string, key: NoteKey): Promise<number> {
  const [org = '', gateway = ''] = subject.split('/');
  const signed = new Map<number, string>();
  for await (const { name, version } of evidence.list('manifest/')) {
    if (parseObjectName(name)?.kind !== 'manifest') continue;
    const note = (await evidence.read(name, NOTE_BYTES_MAX, version)) ?? new Uint8Array();
    const manifest = parseStatement(splitNote(note).text, manifestForm);
    const streams = manifest.streams.filter((one) => one.org === org && one.gateway === gateway);
    if (streams.every(({ epoch }) => signed.has(epoch))) continue;
    for (const [epoch, keyId] of await keyIdsIn(evidence, manifest, org, gateway)) signed.set(epoch, keyId);
  }
  const epochs = [...signed.keys()].sort((one, other) => other - one);
  let begins = (epochs[0] ?? -1) + 1;
  for (const epoch of epochs) {
    if (signed.get(epoch) !== key.keyId) break;
    begins = epoch;
  }
  return begins;
}

/** The key id that the events of a gateway name, by epoch. Nothing of a segment that is not there or cannot be read. */
async function keyIdsIn(
  evidence: Evidence,
  { origin, first, end, objects }: Manifest,
  org: string,
  gateway: string,
): Promise<Map<number, string>> {
  const keyIds = new Map<number, string>();
  const parts = [];
  for (const { key, schema } of objects) {
    const bytes = await evidence.read(key, SEGMENT_BYTES_MAX);
    if (bytes === undefined) return keyIds;
    parts.push({ schemaId: schema, bytes });
  }
  readSegment({ origin, first, end }, parts, ({ walked: { orgId, gatewayId, epoch, keyId } }) => {
    if (orgId === org && gatewayId === gateway) keyIds.set(epoch, keyId);
  });
  return keyIds;
}

const broken = (why: string): Failure =>
  new Failure({
    code: 'key-history.broken',
    retry: 'no',
    message: `nothing more is stated in the key history: ${why}`,
    mend: 'Compare it with the copy that the holder of the root key has.',
  });
