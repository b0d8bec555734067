/**
 * Starts what owns parts, which it hands over to the stack as it opens them. Should it fail, they are closed again, the last
 * opened first.
 */
export async function owning<T>(start: (own: AsyncDisposableStack) => Promise<T>): Promise<T> {
  const own = new AsyncDisposableStack();
  try {
    return await start(own);
  } catch (error) {
    await own.disposeAsync();
    throw error;
  }
}
