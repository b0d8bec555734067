import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { buildBundle } from '@cairn/archive';
import { isFailure } from '@cairn/failure';
import { z } from 'zod';
import { archiveOf } from './open-archive.ts';
import { Refusal } from './problem.ts';
import { route, type Streamed } from './route.ts';

const time = z.coerce.number().int().min(0).max(8_640_000_000_000_000);
/** A segment's events may be 32 MB. */
const SEGMENTS_MAX = 256;

export const exportBundleRoute = route({
  id: 'exportBundle',
  method: 'get',
  path: '/v1/exports/bundle',
  summary:
    'A signed evidence bundle of what was received in a time: one tar file that `cairn verify` checks offline. Holds whole segments.',
  roles: ['auditor'],
  scope: 'export',
  recorded: ['export', 'export/bundle'],
  mayLack: true,
  isHeavy: true,
  query: z.strictObject({
    from: time.describe('Received from then on; microseconds since 1970.'),
    to: time.describe('And before then.'),
  }),
  response: z.string(),
  streams: ['application/x-tar'],
  async answer({ caller, query, now, archive: configured, signal }): Promise<Streamed> {
    const archive = archiveOf(configured);
    const { signer, evidence, rootKey } = archive;
    if (signer === undefined)
      throw new Refusal('not-configured', 'No key signs bundles here: CAIRN_QUERY_BUNDLE_KEY names it.');
    const { orgId: org } = caller;
    const [from, to] = [Math.floor(query.from / 1_000), Math.ceil(query.to / 1_000)];
    const { history, segments } = await archive.state();
    const asked = segments.filter(
      ({ manifest: { received, streams } }) =>
        received.max >= from && received.min < to && streams.some((stream) => stream.org === org),
    );
    if (asked.length === 0)
      throw new Refusal('not-found', 'No segment holds what your organisation did in that time.');
    if (asked.length > SEGMENTS_MAX)
      throw new Refusal(
        'answer.too-large',
        `It takes ${asked.length} segments, and a bundle has at most ${SEGMENTS_MAX}. Ask for a shorter time.`,
      );
    const directory = await mkdtemp(join(archive.directory, 'bundle-'));
    // The answer's connection ends in every case, and with it what was made for it.
    signal.addEventListener('abort', () => void rm(directory, { recursive: true, force: true }), {
      once: true,
    });
    const file = join(directory, 'bundle.tar');
    const built = await archive
      .reading(async () => {
        const policy = {
          name: basename(archive.retentionFile),
          bytes: await readFile(archive.retentionFile),
        };
        const words = `organisation ${JSON.stringify(org)}, received from ${dateOf(from)} to before ${dateOf(to)}`;
        const bundle = { org, from, to, query: words, createdAt: now / 1_000, policies: [policy] };
        return buildBundle(evidence, history, rootKey, signer, bundle, file);
      })
      .catch((error: unknown) => {
        throw isFailure(error, 'bundle.empty') ? new Refusal('not-found', error.message) : error;
      });
    const hash = createHash('sha256');
    const state = { sent: 0 };
    async function* pieces(): AsyncGenerator<Uint8Array> {
      for await (const piece of createReadStream(file)) {
        hash.update(piece as Buffer);
        state.sent += (piece as Buffer).length;
        yield piece as Buffer;
      }
    }
    return {
      stream: pieces(),
      contentType: 'application/x-tar',
      filename: `cairn-bundle-${dateOf(from).slice(0, 10)}-${dateOf(to).slice(0, 10)}.tar`,
      facts: { from, to, ...built },
      ended: () => ({ sent: state.sent, sha256: hash.digest('hex') }),
    };
  },
});

const dateOf = (ms: number): string => new Date(ms).toISOString();
