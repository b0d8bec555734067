// What the archive costs: segments written from leaves, a log verified with its chain and seals, bytes of an event kept.
import { SEGMENT_LEAVES, type WrittenSegment } from '@cairn/ledger';
import { fetchedOf, GATEWAYS, keysOf, recorded, signed, verified, written } from '../ledger/signed-log.ts';
import { type Measured, type SubjectOptions, spreadOf } from '../measured.ts';
import { cpuSecondsOf } from './encode.ts';

const SEGMENTS = 4;

/** `--segments N` of 65,536 events, default 4. */
export default async function ledger({ quick, flags, say }: SubjectOptions): Promise<Measured> {
  const leaves = Number(flags['segments'] ?? SEGMENTS) * (quick ? 4_096 : SEGMENT_LEAVES);
  say(`${leaves} events, chained and sealed`);
  const keys = keysOf();
  const frames = recorded(keys, leaves);
  const frameBytes = frames.reduce((sum, { length }) => sum + length, 0) / leaves;

  const fetched = fetchedOf(frames);

  const write_s: number[] = [];
  const verify_s: number[] = [];
  const event_bytes: number[] = [];
  const repeats = quick ? 1 : 5;
  for (let repeat = -1; repeat < repeats; repeat += 1) {
    say(repeat < 0 ? 'warming up' : `repeat ${repeat + 1} of ${repeats}`);
    let segments: WrittenSegment[] = [];
    const writing = cpuSecondsOf(() => {
      segments = written(fetched);
    });
    const log = signed(segments, keys);
    const verifying = cpuSecondsOf(() => verified(log, keys, leaves));
    if (repeat < 0) continue;
    write_s.push(leaves / writing);
    verify_s.push(leaves / verifying);
    event_bytes.push(log.bytes / leaves);
  }
  return {
    question:
      'How many events a second does one core archive and verify, and how many bytes is an event in the archive?',
    columns: [
      { name: 'events_s', heading: 'events/s of CPU', digits: 0 },
      { name: 'event_bytes', heading: 'bytes/event', digits: 1 },
    ],
    rows: [
      {
        name: 'cairn verify: walk, leaf, tree, chain, seals',
        figures: { events_s: verify_s, event_bytes: [] },
      },
      {
        name: 'write segments: accept, leaf, tree, facts, zstd',
        figures: { events_s: write_s, event_bytes },
      },
    ],
    claims: [
      {
        what: 'events a second, verified with chain and seals',
        measured: spreadOf(verify_s).median,
        wanted: 'at least',
        limit: 250_000,
      },
      {
        what: 'events a second, written into segments',
        measured: spreadOf(write_s).median,
        wanted: 'at least',
        limit: 200_000,
      },
      {
        what: 'bytes of an event in the archive',
        measured: spreadOf(event_bytes).median,
        wanted: 'at most',
        limit: 140,
      },
    ],
    notes: [
      `${leaves} events of generated traffic on ${GATEWAYS} gateways in turn, ${Math.round(frameBytes)} bytes a frame, sealed every 256; hashes, ids and spans are random.`,
      'CPU time is that of the whole process, collector and threads included. Objects, manifest and checkpoint count as bytes; reading from Kafka and putting into the store are not in it.',
    ],
  };
}
