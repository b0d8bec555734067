import { describe, expect, test } from '@jest/globals';
import { brokers, classes, listening, logLevel } from './config-shapes.ts';

describe('what several services are configured with', () => {
  test('a list is what stands between commas, and one of nothing is refused', () => {
    expect(brokers.parse(' one:9092, two:9092,')).toEqual(['one:9092', 'two:9092']);
    for (const text of ['', ' , ,']) {
      expect(brokers.safeParse(text).success).toBe(false);
      expect(classes.safeParse(text).success).toBe(false);
    }
    expect(brokers.safeParse('a').success).toBe(false);
    expect(classes.parse(undefined)).toEqual(['standard']);
  });

  test('a server listens on this machine alone unless it is told otherwise, and a name that is none is refused', () => {
    expect(listening(18_001).parse(undefined)).toEqual({ host: '127.0.0.1', port: 18_001 });
    expect(listening(18_001).parse({ port: '0' })).toEqual({ host: '127.0.0.1', port: 0 });
    expect(listening(18_001).safeParse({ prot: 1 }).success).toBe(false);
    expect(listening(18_001).safeParse({ port: 65_536 }).success).toBe(false);
    expect(logLevel.parse(undefined)).toBe('info');
  });
});
