/** What the exit code of every command means. */
export const EXIT = {
  ok: 0,
  /** A check failed, or nothing was found. */
  failed: 1,
  /** The command line or the environment was wrong: EX_USAGE of sysexits.h, since 2 is a verdict of `cairn verify`. */
  usage: 64,
  /** It could not be done or told from here: a part is not reachable. */
  unreachable: 3,
} as const;
