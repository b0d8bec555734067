import { basename } from 'node:path';
import { anchorOf, proofOfEvent } from '@cairn/archive';
import { textOf } from '@cairn/event';
import { hexOfHash, parseObjectName } from '@cairn/ledger';
import { z } from 'zod';
import { type ApiArchive, archiveOf } from './open-archive.ts';
import { archivedEvent } from './place-event.ts';
import { route } from './route.ts';

export const anchorSchema = z
  .object({
    size: z.int().describe('Of the anchor checkpoint that covers it.'),
    proof: z.string().describe('tlog-proof of the checkpoint in the anchor log.'),
    objects: z
      .array(z.object({ name: z.string(), bytes: z.string().describe('Base64.') }))
      .describe(
        'The anchor checkpoint, its timestamps (RFC 3161) and cosignatures, as they are called in the archive.',
      ),
  })
  .meta({ id: 'Anchor' });

export const proveEventRoute = route({
  id: 'proveEvent',
  method: 'get',
  path: '/v1/events/{event_id}/proof',
  summary: 'What proves one event: a C2SP tlog-proof, out of the archive, and what anchors its checkpoint.',
  // The proof holds the event whole, sealed and kept values as they were recorded.
  roles: ['auditor'],
  scope: 'trail',
  recorded: ['audit_access', 'events/prove'],
  mayLack: true,
  parameters: z.strictObject({ event_id: z.uuid() }),
  response: z
    .object({
      event_id: z.string(),
      origin: z.string().describe('The log: deployment, topic and partition.'),
      leaf_index: z.int(),
      leaf_hash: z.string(),
      size: z.int().describe('Leaves of the log at the checkpoint.'),
      root: z.string().describe('The signed root, hex.'),
      proof: z
        .string()
        .describe('tlog-proof, as a file: `cairn proof --check` reads it, and every other verifier of C2SP.'),
      anchor: anchorSchema.nullable().describe('Null while the checkpoint is in no round of the anchor log.'),
      as_of: z.int().describe('When the archive was read; milliseconds since 1970.'),
    })
    .meta({ id: 'EventProof' }),
  async answer({ caller, path, clickhouse, archive: configured }) {
    const archive = archiveOf(configured);
    const found = await archive.reading(() => archivedEvent({ caller, clickhouse }, archive, path.event_id));
    const { origin, index, segment, hashes } = found;
    const { first, end, root } = segment.manifest;
    const { readAtMs } = await archive.state();
    const body = {
      event_id: path.event_id.toLowerCase(),
      origin,
      leaf_index: index,
      leaf_hash: hexOfHash(hashes[index - first]!),
      size: end,
      root,
      proof: textOf(proofOfEvent(found)),
      anchor: await anchorFor(archive, origin, end),
      as_of: readAtMs,
    };
    return { body, facts: { event: body.event_id, leaf: index, origin, anchored: body.anchor !== null } };
  },
});

/** What anchors a checkpoint; null while nothing does. */
export async function anchorFor(
  archive: ApiArchive,
  origin: string,
  size: number,
): Promise<z.input<typeof anchorSchema> | null> {
  const { history } = await archive.state();
  const anchor = await anchorOf(archive.evidence, history, await archive.anchors(), origin, size);
  if (anchor === undefined) return null;
  return {
    size: anchor.size,
    proof: textOf(anchor.proof),
    objects: anchor.objects
      .filter(({ name }) => parseObjectName(name) !== undefined)
      .map(({ name, bytes }) => ({ name: basename(name), bytes: Buffer.from(bytes).toString('base64') })),
  };
}
