import type { Stage } from './stage.ts';

/** A consumer while it runs. */
export interface Running extends AsyncDisposable {
  /** Of its process; undefined when it runs inside ClickHouse. */
  readonly pid: number | undefined;
}

/** One way from a topic into cairn.events. */
export interface Contestant {
  readonly name: string;
  /** False when it only reads: then its end says that it is done. */
  readonly inserts: boolean;
  /** Undefined when this machine cannot run it; the reason goes into the notes. */
  readonly missing?: () => string | undefined;
  start(stage: Stage, from: { readonly topic: string }, group: string): Promise<Running>;
}
