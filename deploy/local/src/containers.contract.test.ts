import { isFailure } from '@cairn/failure';
import { describe, expect, test } from '@jest/globals';
import { hasEngine, startContainers } from './containers.ts';
import { answers } from './running-process.ts';

describe('parts as containers', () => {
  test('a part is served, survives a kill on its port, and is gone after dispose; without an engine the failure says so', async () => {
    if (!(await hasEngine())) {
      const failure = await startContainers().catch((error: unknown) => error);
      expect(isFailure(failure, 'docker.unreachable')).toBe(true);
      return;
    }
    let port = 0;
    {
      await using parts = await startContainers({ parts: ['redis'] });
      const redis = parts.part('redis');
      port = Number(new URL(redis.address).port);
      expect(await answers(port)).toBe(true);
      await redis.kill9();
      expect(await answers(port)).toBe(false);
      await redis.start();
      expect(await answers(port)).toBe(true);
    }
    expect(await answers(port)).toBe(false);
  }, 300_000);
});
