/** Lets a number of works run at the same time; others wait, first come first served. */
export interface Turns {
  take(): Promise<Disposable>;
}

export function createTurns(concurrentMax: number): Turns {
  const waiting: (() => void)[] = [];
  let running = 0;
  const turn: Disposable = {
    [Symbol.dispose]() {
      const next = waiting.shift();
      if (next) next();
      else running -= 1;
    },
  };
  return {
    async take() {
      if (running < concurrentMax) running += 1;
      else await new Promise<void>((resolve) => waiting.push(resolve));
      return turn;
    },
  };
}
