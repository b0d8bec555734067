import type { ParkedRecord } from '@cairn/adapters';
import { Failure } from '@cairn/failure';
import { Random } from '@cairn/traffic';
import { LogInMemory } from '../../../packages/runtime/test/log-in-memory.ts';
import { SimulatedClock } from '../../../packages/runtime/test/simulated-clock.ts';
import { SimulatedProcess } from '../../../packages/runtime/test/simulated-process.ts';
import { openLane } from '../src/deliver-items.ts';
import type { Verdict as Answer, Destination, Item } from '../src/destination.ts';
import { forwardPartitions } from '../src/forward-partitions.ts';
import { readItems } from '../src/read-items.ts';
import { frameOf } from './items.ts';

/** How one run went: nothing in `wrong` when every promise held. */
export interface Verdict {
  readonly seed: number;
  readonly wrong: readonly string[];
  /** What happened, in order; for a run that went wrong. */
  readonly story: readonly string[];
  readonly troubles: number;
  /** Batches that a destination took more than once, in part or whole. */
  readonly repeats: number;
  readonly kills: number;
  readonly parked: number;
}

export interface Weather {
  /** Only processes die: requests and answers arrive, and nobody freezes. */
  readonly killsOnly: boolean;
}

const PARTITIONS = 2;
const DESTINATIONS = ['north', 'south', 'down'] as const;
type Name = (typeof DESTINATIONS)[number];
/** `down` answers nothing until the end of the run. */
const DOWN: Name = 'down';

/** One receiver: what it took, in its order, and what it will never take. */
class Receiver {
  /** Ids, and the batch in which each came last. */
  readonly taken = new Map<string, number>();
  /** Batches of which something came again. */
  readonly repeated = new Set<number>();
  private batches = 0;
  readonly poison: ReadonlySet<string>;

  constructor(poison: ReadonlySet<string>) {
    this.poison = poison;
  }

  take(items: readonly Item[]): void {
    this.batches += 1;
    for (const { eventId } of items) {
      const before = this.taken.get(eventId);
      if (before !== undefined) this.repeated.add(before);
      this.taken.set(eventId, this.batches);
    }
  }
}

/**
 * Forwarding, as it is, to three destinations over a log in memory, on simulated time, in bad weather: answers are lost after a batch
 * was taken, batches are refused for one of their events, items are busy, processes die and freeze anywhere between two steps,
 * partitions wander, and one destination is away all the time. Then the weather clears, everything is started once more, and every
 * promise is looked at. The same seed gives the same run.
 */
export async function simulate(
  seed: number,
  { killsOnly }: Weather = { killsOnly: false },
): Promise<Verdict> {
  const random = new Random(seed);
  const clock = new SimulatedClock(() => random.unit());
  const story: string[] = [];
  const wrong: string[] = [];
  const tell = (text: string): void => void story.push(`${clock.nowMs().toFixed(1)} ${text}`);
  const frames = Array.from({ length: 60 + random.below(120) }, (_, seq) => ({
    partition: random.below(PARTITIONS),
    value:
      random.chance(0.02) && !killsOnly
        ? new Uint8Array([1, 2, 3])
        : frameOf(seq, {
            timestamp: 1_795_000_000_000_000 + seq,
            kind: random.chance(0.1) ? 'seal' : 'tool_call',
          }),
    isPoison: random.chance(0.04),
  }));
  /** Destination and event of what is parked and stands in the trail. */
  const told = new Set<string>();
  let bad = true;
  let isDown = true;
  let troubles = 0;
  let kills = 0;

  const worlds = Object.fromEntries(
    DESTINATIONS.map((name) => {
      const log = new LogInMemory(clock, PARTITIONS);
      for (const { partition, value } of frames) log.append(partition, value, 1_795_000_000_000);
      const wanted = wantedOf(log);
      const poison = new Set(
        [...wanted.keys()].filter((_, index) => !killsOnly && frames[index % frames.length]!.isPoison),
      );
      return [name, { log, wanted, receiver: new Receiver(poison), parked: new Map<string, ParkedRecord>() }];
    }),
  ) as Record<
    Name,
    { log: LogInMemory; wanted: Map<string, string>; receiver: Receiver; parked: Map<string, ParkedRecord> }
  >;

  const start = (process: string) => {
    const simulated = new SimulatedProcess({
      name: process,
      clock,
      random,
      tell,
      isBad: () => bad && !killsOnly,
      expel() {
        for (const name of DESTINATIONS) worlds[name].log.expel(process);
      },
    });
    const travel = () => simulated.travel();
    const rough = (probability: number) => simulated.strikes(probability);

    const destinationOf = (name: Name): Destination => {
      const { receiver } = worlds[name];
      const away: Answer = { kind: 'unavailable', reason: 'away' };
      return {
        limits: { itemsMax: 1 + random.below(12), bytesMax: 30_000 },
        async send(items) {
          await travel();
          if ((name === DOWN && isDown) || rough(0.08)) return away;
          if (items.some(({ eventId }) => receiver.poison.has(eventId))) {
            if (items.length === 1 || random.chance(0.5)) return { kind: 'refused', reason: 'poison' };
            const answer = sortedBy(items, receiver, rough(0.5) ? random.below(items.length) : -1);
            receiver.take(items.filter((_, index) => !answer.spared.has(index)));
            await travel();
            return rough(0.1) ? away : answer.verdict;
          }
          receiver.take(items);
          await travel();
          return rough(0.08) ? away : { kind: 'taken' };
        },
        [Symbol.asyncDispose]: async () => {},
      };
    };

    const running = DESTINATIONS.map((name) => {
      const { log, receiver, parked, wanted } = worlds[name];
      const destination = destinationOf(name);
      return forwardPartitions({
        name,
        source: log.source(process, simulated.member(20)),
        start: 'earliest',
        lane: openLane({
          destination,
          clock,
          rest: { firstMs: 2, mostMs: 20 },
          onVerdict: ({ kind }, items) => {
            if (kind !== 'taken') tell(`${process}: ${name} ${kind} of ${items.length}`);
          },
        }),
        limits: destination.limits,
        parking: {
          park(records) {
            if (rough(0.05)) throw new Failure({ code: 'parked.unusable', retry: 'later', message: 'disk' });
            for (const record of records) parked.set(record.eventId, record);
            if (rough(0.05))
              throw new Failure({ code: 'parked.unusable', retry: 'later', message: 'disk, written' });
          },
        },
        async onParked(refusals) {
          if (rough(0.05)) throw new Failure({ code: 'spool.full', retry: 'later', message: 'spool' });
          for (const { item } of refusals) told.add(`${name} ${item.eventId}`);
          if (rough(0.05))
            throw new Failure({ code: 'spool.full', retry: 'later', message: 'spool, written' });
        },
        filter: {},
        format: ({ event_id: id }) => id,
        releasedIdOf: (id) => id,
        nowMs: () => 1_795_000_000_000 + clock.nowMs(),
        chunk: { recordsMax: 1 + random.below(40), bytesMax: 1 << 20, ageMsMax: random.below(8) },
        bufferBytesMax: 16_000,
        clock,
        onOpened: ({ partition }, from) => tell(`${process}: ${name} partition ${partition} from ${from}`),
        onLost: async () => void wrong.push('offsets were lost'),
        onForwarded: ({ partition }) => {
          // What is committed has its outcome.
          const upTo = log.committed[partition]?.offset ?? 0;
          for (const [id, place] of wanted) {
            const [of, offset] = place.split('/').map(Number);
            if (of === partition && offset! < upTo && !receiver.taken.has(id) && !parked.has(id))
              wrong.push(`${name}: offset ${offset} of ${partition} is committed and has no outcome`);
            const isDone = of === partition && offset! < upTo;
            if (isDone && !receiver.taken.has(id) && !told.has(`${name} ${id}`))
              wrong.push(`${name}: offset ${offset} of ${partition} is committed and parked, and not told`);
          }
        },
        onTrouble(_partition, error) {
          troubles += 1;
          if (!(error instanceof Failure))
            wrong.push(`MISTAKE ${error instanceof Error ? error.stack : error}`);
        },
      });
    });
    return {
      kill() {
        kills += 1;
        simulated.kill();
      },
      freeze: (ms: number) => simulated.freeze(ms),
      async stop() {
        for (const one of running) await (await one)[Symbol.asyncDispose]();
      },
    };
  };

  let born = 0;
  const alive = new Set([start(`p${born++}`)]);
  const acts = 3 + random.below(8);
  for (let act = 0; act < acts; act += 1) {
    await clock.runUntil(() => false, 5 + random.unit() * 60);
    const victim = [...alive][random.below(alive.size)]!;
    const choice = killsOnly ? 0 : random.below(4);
    if (choice === 0) {
      victim.kill();
      alive.delete(victim);
      alive.add(start(`p${born++}`));
    } else if (choice === 1) victim.freeze(random.unit() * 120);
    else if (choice === 2 && alive.size < 3) alive.add(start(`p${born++}`));
    else worlds[DESTINATIONS[random.below(DESTINATIONS.length)]!].log.rebalance();
  }
  bad = false;
  for (const one of alive) one.kill();
  alive.clear();
  alive.add(start(`p${born++}`));

  // The others are done while one is away all the time.
  const isDone = (name: Name): boolean =>
    worlds[name].log.partitions.every(
      (records, number) => worlds[name].log.committed[number]?.offset === records.length,
    );
  const healthy = DESTINATIONS.filter((name) => name !== DOWN);
  if (!(await clock.runUntil(() => healthy.every(isDone), 60_000)))
    wrong.push('a destination waits for another one');
  if (worlds[DOWN].receiver.taken.size > 0 || isDone(DOWN)) wrong.push('what is away has taken something');
  isDown = false;
  if (!(await clock.runUntil(() => isDone(DOWN), 60_000))) wrong.push('what came back is not served');
  let isOver = false;
  void Promise.all([...alive].map((one) => one.stop())).then(() => {
    isOver = true;
  });
  if (!(await clock.runUntil(() => isOver, 60_000))) wrong.push('it does not stop');

  let repeats = 0;
  let parkedCount = 0;
  for (const name of DESTINATIONS) {
    const { wanted, receiver, parked } = worlds[name];
    for (const id of wanted.keys()) {
      const isPoison = receiver.poison.has(id);
      if (isPoison !== parked.has(id)) wrong.push(`${name}: ${id} ${isPoison ? 'is not' : 'is'} parked`);
      if (!isPoison && !receiver.taken.has(id)) wrong.push(`${name}: ${id} is missing`);
      if (isPoison && receiver.taken.has(id)) wrong.push(`${name}: ${id} was taken and refused`);
    }
    for (const id of receiver.taken.keys())
      if (!wanted.has(id)) wrong.push(`${name}: ${id} was sent and not wanted`);
    if (killsOnly && receiver.repeated.size > kills)
      wrong.push(`${name}: ${kills} kills doubled ${receiver.repeated.size} batches`);
    repeats += receiver.repeated.size;
    parkedCount += parked.size;
  }
  return { seed, wrong, story, troubles, repeats, kills, parked: parkedCount };
}

/** Ids of the events that a destination wants, and where they lie. */
function wantedOf(log: LogInMemory): Map<string, string> {
  const wanted = new Map<string, string>();
  for (const [partition, records] of log.partitions.entries()) {
    for (const item of itemsOf(records, partition)) wanted.set(item.eventId, `${partition}/${item.offset}`);
  }
  return wanted;
}

function itemsOf(records: LogInMemory['partitions'][number], partition: number): readonly Item[] {
  return readItems(
    records,
    { topic: 'audit.events.standard', partition },
    {
      filter: {},
      format: ({ event_id: id }) => id,
      releasedIdOf: (id) => id,
    },
  ).items;
}

function sortedBy(items: readonly Item[], { poison }: Receiver, busy: number) {
  const refused = items.flatMap(({ eventId }, index) =>
    poison.has(eventId) ? [{ index, reason: 'poison' }] : [],
  );
  const again = busy >= 0 && !poison.has(items[busy]!.eventId) ? [busy] : [];
  const verdict: Answer = { kind: 'sorted', refused, again, reason: 'busy' };
  return { verdict, spared: new Set([...refused.map(({ index }) => index), ...again]) };
}
