import { mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import {
  AnchorLogReader,
  anchorOf,
  type Evidence,
  findEvent,
  openEvidence,
  originsOf,
  proofOfEvent,
  readKeys,
} from '@cairn/archive';
import { decodeDatum, formatUuid, hexOf, parseUuid, SCHEMAS } from '@cairn/event';
import { isFailure } from '@cairn/failure';
import {
  anchorOrigin,
  hexOfHash,
  type KeyHistory,
  type NoteKey,
  parseCheckpoint,
  parseTlogProof,
  splitNote,
  verifyTlogProof,
} from '@cairn/ledger';
import { visible } from '@cairn/session';
import type { CliConfig } from './config.ts';
import { EXIT } from './exit-codes.ts';
import type { Output } from './output.ts';
import type { OpenTrail } from './trail.ts';
import { readKey, readNamed, readTrusted } from './trusted.ts';

export interface ProofOptions {
  readonly from: string;
  readonly root?: string;
  /** Directory to write to. */
  readonly out: string;
  /** Looks into the archive alone, without asking ClickHouse where the event is. */
  readonly scan: boolean;
}

/** `cairn proof <event>`: writes what proves one event. */
export async function proveEvent(
  open: OpenTrail,
  output: Output,
  config: CliConfig,
  eventId: string,
  options: ProofOptions,
): Promise<number> {
  const { rootKey } = await readTrusted(options, config.rootKey);
  await using evidence = await openEvidence(options.from, config.s3);
  const { history } = await readKeys(evidence, rootKey);
  const id = parseUuid(eventId);
  const place = options.scan ? undefined : await placeOf(open, eventId, history.deployment);
  const origins = place === undefined ? await originsOf(evidence, history.deployment) : [place.origin];
  const found = await findEvent(evidence, history, id, origins, place?.offset);
  if (found === undefined) {
    output.note(
      `No event ${eventId} is in ${evidence.place}. What was recorded last may not be archived yet.`,
    );
    return EXIT.failed;
  }
  const anchor = await anchorFor(evidence, history, found.origin, found.segment.manifest.end);
  const name = formatUuid(id);
  const files = [{ name: `${name}.tlog-proof`, bytes: proofOfEvent(found) }];
  if (anchor !== undefined) {
    files.push({ name: `${name}.anchor.tlog-proof`, bytes: anchor.proof });
    for (const object of anchor.objects)
      files.push({ name: `${name}.anchor.${basename(object.name)}`, bytes: object.bytes });
  }
  await mkdir(options.out, { recursive: true });
  for (const file of files) await writeFile(join(options.out, file.name), file.bytes);
  const { origin, index } = found;
  const paths = files.map((file) => join(options.out, file.name));
  output.value({ event_id: name, origin, leaf: index, anchored: anchor?.size ?? null, files: paths });
  output.line(`Event ${name} is leaf ${index} of ${origin}.`);
  if (anchor === undefined) output.line('Its checkpoint is not in the anchor log yet.');
  else output.line(`Its checkpoint is in the anchor log, under the anchor checkpoint of ${anchor.size}.`);
  for (const path of paths) output.line(path);
  return EXIT.ok;
}

async function anchorFor(evidence: Evidence, history: KeyHistory, origin: string, size: number) {
  return anchorOf(evidence, history, await new AnchorLogReader(evidence, history).read(), origin, size);
}

/** Where ClickHouse has it; undefined when it does not, or is not there to be asked. */
async function placeOf(
  open: OpenTrail,
  eventId: string,
  deployment: string,
): Promise<{ readonly origin: string; readonly offset: number } | undefined> {
  try {
    await using trail = open();
    const [row] = await trail.query<{ topic: string; partition: number; offset: number }>(
      'SELECT topic, partition, offset FROM cairn.events WHERE event_id = {id:UUID} LIMIT 1',
      { id: eventId },
      { readonly: 1, output_format_json_quote_64bit_integers: 0 },
    );
    if (row === undefined) return undefined;
    return { origin: `${deployment}/${row.topic}/${row.partition}`, offset: row.offset };
  } catch (error) {
    // Only where to look comes from there; the archive has everything.
    if (isFailure(error)) return undefined;
    throw error;
  }
}

export interface CheckOptions {
  readonly root?: string;
  /** Verifier keys of the log, or files that hold them: then no key history is needed. */
  readonly key?: readonly string[];
  /** Archive, or directory with its `key/` folder, for the key history. */
  readonly from: string;
}

/** `cairn proof --check FILE`: whether a proof holds, and of what. */
export async function checkProof(
  output: Output,
  config: CliConfig,
  file: string,
  options: CheckOptions,
): Promise<number> {
  const bytes = await readNamed(file);
  try {
    const proof = parseTlogProof(bytes);
    const { origin, size } = parseCheckpoint(splitNote(proof.checkpoint).text);
    const keys = await keysFor(config, options, origin, size);
    const checkpoint = verifyTlogProof(proof, keys, origin);
    const what = entryIn(proof.extra);
    const root = hexOfHash(checkpoint.root);
    output.value({ verdict: 'intact', origin, leaf: proof.index, size, root, ...what });
    output.line(`intact: leaf ${proof.index} of ${origin}, in the tree of ${size} leaves with root ${root}`);
    for (const [name, value] of Object.entries(what)) output.line(visible(`  ${name.padEnd(10)} ${value}`));
    return EXIT.ok;
  } catch (error) {
    if (!isFailure(error) || !/^(?:proof|checkpoint|note)\./.test(error.code)) throw error;
    const isUnknown = error.code === 'note.unknown-key';
    output.value({
      verdict: isUnknown ? 'not verifiable here' : 'broken',
      reason: error.code,
      detail: error.message,
    });
    output.line(`${isUnknown ? 'not verifiable here' : 'broken'}: ${visible(error.message)}`);
    return isUnknown ? 2 : EXIT.failed;
  }
}

async function keysFor(
  config: CliConfig,
  { root, key = [], from }: CheckOptions,
  origin: string,
  size: number,
): Promise<readonly NoteKey[]> {
  if (key.length > 0) return Promise.all(key.map(readKey));
  const { rootKey } = await readTrusted({ ...(root === undefined ? {} : { root }) }, config.rootKey);
  await using evidence = await openEvidence(from, config.s3);
  const { history } = await readKeys(evidence, rootKey);
  return history.keysAt(origin === anchorOrigin(history.deployment) ? 'anchor' : 'log', origin, size);
}

/** What the entry of a proof is: an event, or the note of a checkpoint. */
function entryIn(entry: Uint8Array): Record<string, string | number> {
  if (entry[0] === 0xc3 && entry[1] === 0x01) {
    const crc64 = hexOf(entry.subarray(2, 10));
    const schema = SCHEMAS.find((one) => one.crc64 === crc64);
    if (schema === undefined) return { entry: 'an event of a schema that is not known here' };
    const event = decodeDatum(entry.slice(10), schema.id);
    return {
      event_id: formatUuid(event.event_id),
      org_id: event.org_id,
      gateway_id: event.gateway_id,
      epoch: event.epoch,
      seq: event.seq,
      kind: event.kind,
      tool_name: event.tool_name,
      time: new Date(event.timestamp / 1_000).toISOString(),
    };
  }
  const { origin, size } = parseCheckpoint(splitNote(entry).text);
  return { entry: `the checkpoint of ${size} leaves of ${origin}` };
}
