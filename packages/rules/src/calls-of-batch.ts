import type { GrowingCell } from './growing-window.ts';
import type { Micros } from './rule.ts';

/** The events of one call inside a batch. */
export interface CallOfBatch {
  readonly org: string;
  readonly callId: Uint8Array;
  readonly cells: GrowingCell[];
}

/** Places of the table; a power of two. */
const PLACES = 131_072;
/** Calls that it takes, so that it is never more than half full, and for how many there is room at first. */
const CALLS_MAX = PLACES / 2;
const CALLS_FIRST = 4_096;
/** Places that are looked at for one call. */
const LOOKED_AT_MAX = 32;
const ID_BYTES = 16;

/**
 * The calls of a batch, by organisation and the 16 bytes of their id. Each is a group of its own that is seen twice, mostly inside one
 * batch, and then never again. So neither its id nor its events become objects: of each call its first two events are kept in
 * columns, and what is left of it at the end is put together then. A call that has a third event is kept elsewhere from there on.
 *
 *     place -> call + 1; 0 is empty
 *     call  -> org, id, and of up to two events: tick, source, event id, place in the batch
 *
 * Nothing is taken out and the table does not grow, so a call that finds no place finds none later either, in this batch.
 */
export class CallsOfBatch {
  readonly #places = new Uint32Array(PLACES);
  #size = 0;
  #room = CALLS_FIRST;
  readonly #orgs: string[] = [];
  #ids = new Uint8Array(CALLS_FIRST * ID_BYTES);
  #events = new Uint8Array(CALLS_FIRST);
  /** Of the first and of the second event, as are the columns below. */
  #ticks = new Float64Array(CALLS_FIRST * 2);
  #sources = new Uint8Array(CALLS_FIRST * 2);
  #eventIds = new Uint8Array(CALLS_FIRST * 2 * ID_BYTES);
  #indexes = new Uint32Array(CALLS_FIRST * 2);

  /**
   * Takes an event of a call.
   *
   * @param index place of the event in the batch.
   * @returns false when it has no room here: all of the call is then to be kept elsewhere, what `handOver` gives included.
   */
  take(
    org: string,
    callId: Uint8Array,
    tick: Micros,
    source: number,
    eventId: Uint8Array,
    index: number,
  ): boolean {
    const call = this.#find(org, callId);
    if (call < 0) return false;
    const events = this.#events[call]!;
    if (events >= 2) return false;
    const at = 2 * call + events;
    this.#ticks[at] = tick;
    this.#sources[at] = source;
    this.#indexes[at] = index;
    const start = at * ID_BYTES;
    for (let byte = 0; byte < ID_BYTES; byte += 1) this.#eventIds[start + byte] = eventId[byte]!;
    this.#events[call] = events + 1;
    return true;
  }

  /** The cells of a call that has no room here any more: once, and none the next time. */
  handOver(org: string, callId: Uint8Array): readonly GrowingCell[] {
    const call = this.#find(org, callId);
    if (call < 0 || this.#events[call] !== 2) return [];
    const { cells } = this.#callAt(call);
    this.#events[call] = 3;
    return cells;
  }

  /**
   * What is left, without the calls that began and then ended within a timespan; the table is empty then.
   *
   * @param begins sources that begin a call.
   */
  open(begins: ReadonlySet<number>, timespan: Micros): CallOfBatch[] {
    const open: CallOfBatch[] = [];
    for (let call = 0; call < this.#size; call += 1) {
      const events = this.#events[call]!;
      if (events > 2 || (events === 2 && this.#isSettled(call, begins, timespan))) continue;
      open.push(this.#callAt(call));
    }
    this.clear();
    return open;
  }

  clear(): void {
    if (this.#size > 0) this.#places.fill(0);
    this.#events.fill(0, 0, this.#size);
    this.#size = 0;
    this.#orgs.length = 0;
  }

  #isSettled(call: number, begins: ReadonlySet<number>, timespan: Micros): boolean {
    const [begun, ended] = [2 * call, 2 * call + 1];
    const span = this.#ticks[ended]! - this.#ticks[begun]!;
    return (
      span >= 0 && span <= timespan && begins.has(this.#sources[begun]!) && !begins.has(this.#sources[ended]!)
    );
  }

  /** The call, new or known; negative when the table is full, or ids that fall on one place have filled it, by chance or by design. */
  #find(org: string, id: Uint8Array): number {
    let place = hashOf(id) & (PLACES - 1);
    for (let looked = 0; looked < LOOKED_AT_MAX; looked += 1) {
      const call = this.#places[place]! - 1;
      if (call < 0) return this.#begin(place, org, id);
      if (this.#orgs[call] === org && this.#hasId(call, id)) return call;
      place = (place + 1) & (PLACES - 1);
    }
    return -1;
  }

  #begin(place: number, org: string, id: Uint8Array): number {
    if (this.#size === CALLS_MAX) return -1;
    if (this.#size === this.#room) this.#double();
    const call = this.#size;
    this.#size += 1;
    this.#places[place] = call + 1;
    this.#orgs.push(org);
    for (let byte = 0; byte < ID_BYTES; byte += 1) this.#ids[call * ID_BYTES + byte] = id[byte]!;
    return call;
  }

  #double(): void {
    this.#room *= 2;
    this.#ids = longer(this.#ids, new Uint8Array(this.#room * ID_BYTES));
    this.#events = longer(this.#events, new Uint8Array(this.#room));
    this.#ticks = longer(this.#ticks, new Float64Array(this.#room * 2));
    this.#sources = longer(this.#sources, new Uint8Array(this.#room * 2));
    this.#eventIds = longer(this.#eventIds, new Uint8Array(this.#room * 2 * ID_BYTES));
    this.#indexes = longer(this.#indexes, new Uint32Array(this.#room * 2));
  }

  #hasId(call: number, id: Uint8Array): boolean {
    const start = call * ID_BYTES;
    for (let byte = ID_BYTES - 1; byte >= 0; byte -= 1)
      if (this.#ids[start + byte] !== id[byte]) return false;
    return true;
  }

  #callAt(call: number): CallOfBatch {
    const cells: GrowingCell[] = [];
    for (let at = 2 * call; at < 2 * call + this.#events[call]!; at += 1) {
      cells.push({
        tick: this.#ticks[at]!,
        label: String(this.#sources[at]!),
        count: 1,
        eventId: this.#eventIds.slice(at * ID_BYTES, (at + 1) * ID_BYTES),
        lastIndex: this.#indexes[at]!,
      });
    }
    const callId = this.#ids.slice(call * ID_BYTES, (call + 1) * ID_BYTES);
    return { org: this.#orgs[call]!, callId, cells };
  }
}

function longer<T extends Uint8Array | Uint32Array | Float64Array>(short: T, long: T): T {
  long.set(short);
  return long;
}

/** Of the bytes that are random in a UUID of any version. */
function hashOf(id: Uint8Array): number {
  const low = id[15]! | (id[14]! << 8) | (id[13]! << 16) | (id[12]! << 24);
  const high = id[11]! | (id[10]! << 8) | (id[9]! << 16) | (id[4]! << 24);
  const mixed = Math.imul(low ^ Math.imul(high, 0x85ebca6b), 0x9e3779b1);
  return mixed ^ (mixed >>> 15);
}
