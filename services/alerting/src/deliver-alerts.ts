import type { Clock } from '@cairn/runtime';
import {
  type Alert,
  type Attempt,
  type Delivery,
  type Endpoint,
  nextAttempt,
  retryAfterMs,
  type Settled,
  sendAlert,
  type WebhookHttp,
  type Webhooks,
  wants,
} from '@cairn/webhook';

/** What delivering asks of the store of deliveries. `DeliveryStore` of packages/webhook fits. */
export interface Deliveries {
  /** When it returns the promises are on disk, all or none; what was promised before is left as it is. */
  add(promised: readonly { readonly endpoint: string; readonly alert: Alert }[], nowMs: number): number;
  /** What an endpoint is owed now, oldest first, what was said of one alert in its order. */
  due(endpoint: string, nowMs: number, most: number): Delivery[];
  nextDueMs(endpoint: string): number | undefined;
  /** All or none. */
  settle(settled: readonly Settled[]): void;
  disable(endpoint: string, reason: string, nowMs: number): void;
  disabled(endpoint: string): string | undefined;
  parkDue(endpoint: string, note: string): void;
}

export interface DeliverOptions {
  readonly store: Deliveries;
  readonly webhooks: Webhooks;
  /** HTTP of one endpoint, which shares no connection with another's. */
  readonly httpOf: (endpoint: Endpoint) => WebhookHttp & AsyncDisposable;
  readonly clock: Clock;
  /** Milliseconds since 1970: deliveries fall due by the time that a person reads. */
  readonly nowMs: () => number;
  /** Attempts at one endpoint at the same time; one alone while it fails. */
  readonly atOnce?: number;
  readonly schedule?: readonly number[];
  /** How long an endpoint that fails is left alone: the first time, and at most. */
  readonly rest?: { readonly firstMs: number; readonly mostMs: number };
  readonly onAttempt: (
    delivery: Delivery,
    attempt: Attempt,
    next: 'delivered' | 'retry' | 'park' | 'disable',
  ) => void;
  /** The store could not be read or written; it is tried again. */
  readonly onTrouble: (error: unknown) => void;
}

export interface Delivering extends AsyncDisposable {
  /**
   * Promises alerts to every endpoint that wants them. When it returns the promises are on disk.
   *
   * @returns how many promises were new. @throws Failure `deliveries.unusable`
   */
  add(alerts: readonly Alert[]): number;
}

/** Replays come from another process, so the store is looked at this often. */
const LOOK_EVERY_MS = 1_000;
/** How outcomes are gathered into one sync of the disk. */
const SETTLE_MS = 5;
const REST = { firstMs: 500, mostMs: 60_000 };
/** What is under way at the end may take this long; later it is sent again, under the same id. */
const DRAIN_MS = 5_000;

/** Tells endpoints what they are owed. Each has a lane of its own; whatever one does, no other waits for it. */
export function deliverAlerts(options: DeliverOptions): Delivering {
  const { store, webhooks, nowMs } = options;
  const ledger = openLedger(options);
  const lanes = webhooks.endpoints.map((endpoint) => openLane(options, endpoint, ledger));
  return {
    add(alerts) {
      const promised = webhooks.endpoints.flatMap((endpoint) =>
        alerts.filter((alert) => wants(endpoint, alert)).map((alert) => ({ endpoint: endpoint.name, alert })),
      );
      if (promised.length === 0) return 0;
      const added = store.add(promised, nowMs());
      for (const lane of lanes) lane.wake();
      return added;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(lanes.map((lane) => lane.drain()));
      ledger.close();
      await Promise.all(lanes.map((lane) => lane[Symbol.asyncDispose]()));
    },
  };
}

/** How attempts went, of all lanes together: a sync of the disk for each would be the most of the work. */
interface OutcomeLedger {
  /** @param onWritten once it is on disk. */
  write(settled: Settled, disables: boolean, onWritten: () => void): void;
  /** Writes what waits; afterwards nothing is written any more. */
  close(): void;
}

function openLedger({ store, clock, nowMs, onTrouble }: DeliverOptions): OutcomeLedger {
  let waiting: { readonly settled: Settled; readonly disables: boolean; readonly onWritten: () => void }[] =
    [];
  let isAsked = false;
  let isClosed = false;

  const write = (): void => {
    const taken = waiting;
    store.settle(taken.map(({ settled }) => settled));
    const gone = new Set(taken.filter(({ disables }) => disables).map(({ settled }) => settled.endpoint));
    for (const endpoint of gone) store.disable(endpoint, GONE, nowMs());
    waiting = [];
    for (const { onWritten } of taken) onWritten();
  };
  const writeIn = (ms: number): void => {
    isAsked = true;
    clock.after(ms, () => {
      if (isClosed) return;
      isAsked = false;
      try {
        write();
      } catch (error) {
        onTrouble(error);
        writeIn(LOOK_EVERY_MS);
      }
    });
  };
  return {
    write(settled, disables, onWritten) {
      if (isClosed) return;
      waiting.push({ settled, disables, onWritten });
      if (!isAsked) writeIn(SETTLE_MS);
    },
    close() {
      isClosed = true;
      try {
        if (waiting.length > 0) write();
      } catch (error) {
        onTrouble(error);
      }
    },
  };
}

interface Lane extends AsyncDisposable {
  /** Looks for what may be sent now. */
  wake(): void;
  /** Begins nothing more, and waits for what is under way, though not long. */
  drain(): Promise<void>;
}

function openLane(options: DeliverOptions, endpoint: Endpoint, ledger: OutcomeLedger): Lane {
  const { store, clock, nowMs, webhooks, schedule, atOnce = 8, rest: pace = REST } = options;
  const http = options.httpOf(endpoint);
  const underWay = new Map<string, Promise<void>>();
  /** In a row. While there are any, one attempt at a time shows whether the endpoint is back. */
  let failures = 0;
  let restsUntilMs = 0;
  let isOver = false;
  let callOff = (): void => {};

  const lookIn = (ms: number): void => {
    callOff();
    if (!isOver) callOff = clock.after(ms, look);
  };

  function look(): void {
    if (isOver) return;
    try {
      lookIn(begin());
    } catch (error) {
      options.onTrouble(error);
      lookIn(LOOK_EVERY_MS);
    }
  }

  /** Begins what may begin. @returns how long until something else may. */
  function begin(): number {
    const now = nowMs();
    const reason = store.disabled(endpoint.name);
    if (reason !== undefined) {
      store.parkDue(endpoint.name, reason);
      return LOOK_EVERY_MS;
    }
    if (now < restsUntilMs) return Math.min(LOOK_EVERY_MS, restsUntilMs - now);
    const room = (failures > 0 ? 1 : atOnce) - underWay.size;
    if (room <= 0) return LOOK_EVERY_MS;
    const waiting = store
      .due(endpoint.name, now, room + underWay.size)
      .filter(({ alert }) => !underWay.has(alert.id));
    for (const delivery of waiting.slice(0, room)) underWay.set(delivery.alert.id, attempt(delivery));
    const nextMs = store.nextDueMs(endpoint.name) ?? Number.POSITIVE_INFINITY;
    return nextMs <= now ? LOOK_EVERY_MS : Math.min(LOOK_EVERY_MS, nextMs - now);
  }

  async function attempt(delivery: Delivery): Promise<void> {
    const { alert } = delivery;
    const made = await sendAlert(http, endpoint, webhooks.network, alert, nowMs());
    const attempts = delivery.attempts + 1;
    const now = nowMs();
    const outcome = nextAttempt(made.status, made.retryAfter, attempts, now, clock.random(), schedule);
    rest(made, now);
    options.onAttempt(delivery, made, outcome.next);
    const { status, note } = made;
    const said = { endpoint: endpoint.name, id: alert.id, attempts };
    const onWritten = (): void => {
      underWay.delete(alert.id);
      if (!isOver) lookIn(0);
    };
    switch (outcome.next) {
      case 'delivered':
        ledger.write({ ...said, outcome: { state: 'delivered', status: status! } }, false, onWritten);
        break;
      case 'retry':
        ledger.write(
          { ...said, outcome: { state: 'due', dueMs: now + outcome.afterMs, status, note } },
          false,
          onWritten,
        );
        break;
      case 'park':
        ledger.write({ ...said, outcome: { state: 'parked', status, note } }, false, onWritten);
        break;
      case 'disable':
        ledger.write({ ...said, outcome: { state: 'parked', status, note: GONE } }, true, onWritten);
        break;
    }
  }

  /** A receiver that fails or asks for it is left alone, so that a thousand alerts are not a thousand knocks. */
  function rest({ status, retryAfter }: Attempt, now: number): void {
    const isBusy = status === undefined || status === 429 || status >= 500;
    if (!isBusy) {
      failures = 0;
      return;
    }
    failures += 1;
    const backoffMs = Math.min(pace.mostMs, pace.firstMs * 2 ** Math.min(failures - 1, 16));
    const restMs = Math.max(retryAfterMs(retryAfter, now) ?? 0, backoffMs * (0.5 + clock.random() / 2));
    restsUntilMs = now + restMs;
  }

  look();
  return {
    wake: () => lookIn(0),
    async drain() {
      isOver = true;
      callOff();
      const drained = new AbortController();
      await Promise.race([Promise.all(underWay.values()), clock.pause(DRAIN_MS, drained.signal)]);
      drained.abort();
    },
    [Symbol.asyncDispose]: () => http[Symbol.asyncDispose](),
  };
}

const GONE = 'the receiver answered 410: it wants nothing more';
