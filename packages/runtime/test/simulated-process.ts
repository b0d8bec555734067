import { Failure } from '@cairn/failure';
import type { MemberWeather } from './log-in-memory.ts';
import type { SimulatedClock } from './simulated-clock.ts';

/** What chance decides by; the same seed decides the same. */
interface Chance {
  /** From 0 to below 1. */
  unit(): number;
  /** A whole number from 0 to below `count`. */
  below(count: number): number;
  chance(probability: number): boolean;
}

export interface SimulatedProcessOptions {
  readonly name: string;
  readonly clock: SimulatedClock;
  readonly random: Chance;
  readonly tell: (text: string) => void;
  /** Whether requests and answers may be late or lost now. */
  readonly isBad: () => boolean;
  /** The group goes on without it. */
  readonly expel: () => void;
}

/** How long the group waits for a member that says nothing, milliseconds. */
const SESSION_MS = 40;

/**
 * One process of a simulation, and the line on which it asks and hears: it can be killed, so that nothing of it goes on, and
 * frozen, so that it goes on later.
 */
export class SimulatedProcess {
  readonly #options: SimulatedProcessOptions;
  #isDead = false;
  #frozenUntil = 0;

  constructor(options: SimulatedProcessOptions) {
    this.#options = options;
  }

  /** One way of a request or of an answer: short, and in bad weather now and then long. Never ends when the process is dead. */
  async travel(): Promise<void> {
    const { clock, random } = this.#options;
    await clock.pause(this.strikes(0.05) ? random.unit() * 60 : random.unit() * 2);
    while (clock.nowMs() < this.#frozenUntil) await clock.pause(this.#frozenUntil - clock.nowMs() + 0.01);
    if (this.#isDead) await new Promise<never>(() => {});
  }

  /** Whether bad weather does what it does with this probability. */
  strikes(probability: number): boolean {
    return this.#options.isBad() && this.#options.random.chance(probability);
  }

  /** The process as a member of the log's group. */
  member(recordsMax: number): MemberWeather {
    const lost = (what: string): Failure =>
      new Failure({ code: 'log.unreachable', retry: 'later', message: `${what} lost` });
    return {
      there: async () => {
        await this.travel();
        if (this.strikes(0.02)) throw lost('request');
      },
      back: async () => {
        await this.travel();
        if (this.strikes(0.02)) throw lost('answer');
      },
      fetchMax: () => 1 + this.#options.random.below(recordsMax),
    };
  }

  kill(): void {
    const { name, tell, expel } = this.#options;
    tell(`${name} is killed`);
    this.#isDead = true;
    expel();
  }

  freeze(ms: number): void {
    const { name, clock, tell, expel } = this.#options;
    tell(`${name} freezes for ${ms.toFixed(0)} ms`);
    this.#frozenUntil = clock.nowMs() + ms;
    if (ms > SESSION_MS) clock.after(SESSION_MS, expel);
  }
}
