/**
 * Requests that are being answered. The connection of a stream closes before its last step, the event that says how much was sent,
 * so a stop has to wait for the requests themselves.
 */
export class RequestsInFlight {
  readonly #running = new Set<Promise<unknown>>();

  /** @returns the same, with its outcome. */
  track<T>(request: Promise<T>): Promise<T> {
    this.#running.add(request);
    const ended = () => void this.#running.delete(request);
    request.then(ended, ended);
    return request;
  }

  /** Resolves when none is left, those that began meanwhile included. */
  async ended(): Promise<void> {
    while (this.#running.size > 0) {
      await Promise.allSettled(this.#running);
      // What failed is told by a request of its own, which begins behind it.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}
