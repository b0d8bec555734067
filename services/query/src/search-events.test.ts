import { readSearch } from '@cairn/search';
import { describe, expect, test } from '@jest/globals';
import { amongAlerts } from './search-events.ts';

describe('a search among alerts', () => {
  test.each(['', 'tool_name:delete*', 'a OR b', 'NOT (a b)'])('of %j finds alerts alone', (text) => {
    expect(readSearch(amongAlerts(text))).toMatchObject(
      text === ''
        ? { kind: 'field', field: 'kind' }
        : { kind: 'and', of: [{ kind: 'field', field: 'kind' }, {}] },
    );
  });

  test.each(['a) OR (kind:*', ') OR (', 'a)'])('%j, which would leave the brackets, is refused', (text) => {
    expect(() => amongAlerts(text)).toThrow(/./);
  });
});
