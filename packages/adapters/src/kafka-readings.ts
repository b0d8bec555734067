/**
 * Reads what fetches brought one piece after the other, each in a turn of its own: between two of them what else has come to the
 * process has its turn, the next answer of a broker before all.
 */
export class Readings {
  #all: Promise<void> = Promise.resolve();

  /** @param read must not throw. */
  add(read: () => void): void {
    const turn = (): Promise<void> =>
      new Promise((resolve) => {
        setImmediate(() => {
          read();
          resolve();
        });
      });
    this.#all = this.#all.then(turn);
  }

  /** Resolves when everything was read that had been added by then. */
  done(): Promise<void> {
    return this.#all;
  }
}
