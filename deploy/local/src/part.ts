import type { Progress } from './install.ts';

/** Where one part of one installation keeps what. */
export interface Place {
  readonly port: number;
  /** Data; survives stops. Absolute. */
  readonly directory: string;
  readonly logFile: string;
}

export interface Command {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** One outside system as a local process. */
export interface LocalPart {
  /** Installs what is missing; quick when nothing is. */
  install(cache: string, progress: Progress): Promise<void>;
  /** Makes its data folder ready and says what to run. */
  prepare(cache: string, place: Place): Promise<Command>;
  /** True once it serves on this port. */
  ready(port: number): Promise<boolean>;
  /** As its clients want it: `host:port` or a URL. */
  address(port: number): string;
  readonly readyMsMax: number;
}
