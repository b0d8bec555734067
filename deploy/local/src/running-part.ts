import { ADDRESS_VARIABLES, type PartName } from './config.ts';

/** One running outside system. */
export interface RunningPart {
  readonly name: PartName;
  /** As its clients want it: brokers, or a URL. */
  readonly address: string;
  /** Of the local process; undefined when the part runs elsewhere or in a container. */
  readonly pid: number | undefined;
  /** True when it was already running, so that whoever started it also ends it. */
  readonly found: boolean;
  /** Ends it as a crash does. Only local processes can. */
  kill9(): Promise<void>;
  /** Starts it again, on the same port and data, after `kill9` or `stop`. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface Parts extends AsyncDisposable {
  readonly parts: Readonly<Partial<Record<PartName, RunningPart>>>;
  /** The part, which must be among those started. */
  part(name: PartName): RunningPart;
  /** The variables by which services find the parts. */
  env(): Record<string, string>;
}

/** Parts that run, as one. @param stop ends those of them that this process started. */
export function partsOf(running: readonly RunningPart[], stop: () => Promise<void>): Parts {
  const parts: Parts['parts'] = Object.fromEntries(running.map((part) => [part.name, part]));
  return {
    parts,
    part(name) {
      const part = parts[name];
      if (!part) throw new Error(`${name} was not started`);
      return part;
    },
    env: () => Object.fromEntries(running.map((part) => [ADDRESS_VARIABLES[part.name], part.address])),
    [Symbol.asyncDispose]: stop,
  };
}
