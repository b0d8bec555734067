// What the archive costs: a topic archived by the service, segments written from leaves, a log verified with its chain and
// seals, bytes of an event kept.
import { SEGMENT_LEAVES } from '@cairn/ledger';
import { type ArchivalCost, archiveTopic, openArchiveStage } from '../ledger/archive-topic.ts';
import { fetchedOf, GATEWAYS, keysOf, recorded, signed, written } from '../ledger/signed-log.ts';
import { verifyAlone } from '../ledger/verify-alone.ts';
import { verifyMemory } from '../ledger/verify-memory.ts';
import { verifySecond } from '../ledger/verify-second.ts';
import { type Claim, type Measured, type SubjectOptions, spreadOf } from '../measured.ts';
import { cpuSecondsOf } from './encode.ts';

const SEGMENTS = 4;

/** `--segments N` of 65,536 events, default 4 and at least 4; `--only pure` leaves Kafka and S3 out. */
export default async function ledger({ quick, flags, say }: SubjectOptions): Promise<Measured> {
  const segments = quick ? 2 : Math.max(4, Number(flags['segments'] ?? SEGMENTS));
  const leaves = segments * SEGMENT_LEAVES;
  say(`${leaves} events, chained and sealed`);
  const keys = keysOf();
  // One more: a segment is ended by the leaf that no longer belongs to it.
  const frames = recorded(keys, leaves + 1);
  const frameBytes = frames.reduce((sum, { length }) => sum + length, 0) / frames.length;
  const fetched = fetchedOf(frames.slice(0, leaves));

  const write_s: number[] = [];
  const pure_bytes: number[] = [];
  const repeats = quick ? 1 : 5;
  let built = written(fetched);
  for (let repeat = 0; repeat < repeats; repeat += 1) {
    say(`segments written, ${repeat + 1} of ${repeats}`);
    const writing = cpuSecondsOf(() => {
      built = written(fetched);
    });
    write_s.push(leaves / writing);
  }
  const log = signed(built, keys);
  pure_bytes.push(log.bytes / leaves);
  say(`${repeats} verifications`);
  const verify_s = verifyAlone(log, keys, leaves, repeats).map((seconds) => leaves / seconds);
  const second_s = verifySecond(log, keys, leaves, repeats).map((seconds) => leaves / seconds);
  // From its half on nothing is there for the first time: programs, read-ahead, every gateway.
  const half = Math.floor(segments / 2);
  const [halfMemory, wholeMemory] = [half, segments].map((many) => verifyMemory(log, keys, many));

  const costs: ArchivalCost[] = [];
  if (flags['only'] !== 'pure') {
    say('Kafka and S3');
    await using stage = await openArchiveStage(frames);
    for (let repeat = 0; repeat < (quick ? 1 : 3); repeat += 1) {
      say(`archival, run ${repeat + 1}`);
      costs.push(await archiveTopic(stage, keys, segments));
    }
  }
  const archived_s = costs.map(({ cpu_us }) => 1e6 / cpu_us);
  const figuresOf = (name: keyof ArchivalCost): number[] => costs.map((cost) => cost[name]);

  return {
    question:
      'How many events a second does one core archive and verify, and how many bytes is an event in the archive?',
    columns: [
      { name: 'events_s', heading: 'events/s of CPU', digits: 0 },
      { name: 'cpu_us', heading: 'CPU µs/event', digits: 2 },
      { name: 'event_bytes', heading: 'bytes/event', digits: 1 },
      { name: 'main_us', heading: 'of it main thread', digits: 2 },
      { name: 'engine_us', heading: 'of it collector, compiler', digits: 2 },
      { name: 'broker_us', heading: 'broker', digits: 2 },
      { name: 'store_us', heading: 'store', digits: 2 },
      { name: 'peak_mib', heading: 'peak MiB', digits: 0 },
      { name: 'held_mib', heading: 'held MiB', digits: 1 },
    ],
    rows: [
      {
        name: 'cairn verify: walk, leaf, tree, chain, seals',
        figures: { events_s: verify_s, cpu_us: verify_s.map(microsOf) },
      },
      {
        name: `cairn verify, the command, over ${half} segments`,
        figures: { peak_mib: [halfMemory!.peakMib], held_mib: [halfMemory!.heldMib] },
      },
      {
        name: `cairn verify, the command, over ${segments}`,
        figures: { peak_mib: [wholeMemory!.peakMib], held_mib: [wholeMemory!.heldMib] },
      },
      {
        name: 'the second verifier, in Go: the same',
        figures: { events_s: second_s, cpu_us: second_s.map(microsOf) },
      },
      {
        name: 'write segments: accept, leaf, tree, facts, zstd',
        figures: { events_s: write_s, cpu_us: write_s.map(microsOf), event_bytes: pure_bytes },
      },
      {
        name: 'archival, from Kafka to the store',
        figures: {
          events_s: archived_s,
          cpu_us: figuresOf('cpu_us'),
          event_bytes: figuresOf('event_bytes'),
          main_us: figuresOf('main_us'),
          engine_us: figuresOf('engine_us'),
          broker_us: figuresOf('broker_us'),
          store_us: figuresOf('store_us'),
          peak_mib: figuresOf('peak_mib'),
        },
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
        what: 'events a second of the second verifier, for each of cairn verify',
        measured: spreadOf(second_s).median / spreadOf(verify_s).median,
        wanted: 'at least',
        limit: 1,
      },
      {
        what: `MiB that cairn verify holds for each of the last ${segments - half} segments, of ${Math.round((frameBytes * SEGMENT_LEAVES) / 1024 ** 2)}`,
        measured: (wholeMemory!.heldMib - halfMemory!.heldMib) / (segments - half),
        wanted: 'at most',
        limit: 0.5,
      },
      ...(costs.length === 0 ? [] : [archivedAtLeast(archived_s)]),
      {
        what: 'bytes of an event in the archive',
        measured: spreadOf(costs.length > 0 ? figuresOf('event_bytes') : pure_bytes).median,
        wanted: 'at most',
        limit: 140,
      },
    ],
    notes: [
      `${leaves} events of generated traffic on ${GATEWAYS} gateways in turn, ${Math.round(frameBytes)} bytes a frame, sealed every 256; hashes, ids and spans are random.`,
      'CPU time is that of the whole process, collector and threads included. Objects, manifests and checkpoints count as bytes.',
      'The first and the third row are the pure packages alone, each in a process that has warmed up; the one that verifies holds the log alone.',
      'Peak of cairn verify is VmHWM, garbage that V8 has not collected included; held is its heap and buffers, at most, when it collects every 20 ms.',
      'The second verifier is its whole process: it starts, reads a copy of the bucket from a directory, the same segments, manifests, checkpoints and keys, verifies and prints the verdict.',
      'Archival is the service as it runs in production, over Kafka with one partition and versitygw, with the keys of all gateways: each seal is verified, each object read back. Measured from the checkpoint of the first segment, with which it warms up, to that of the last.',
    ],
  };
}

const archivedAtLeast = (archived_s: readonly number[]): Claim => ({
  what: 'events a second, archived from Kafka to the store',
  measured: spreadOf(archived_s).median,
  wanted: 'at least',
  limit: 200_000,
});

const microsOf = (perSecond: number): number => 1e6 / perSecond;
