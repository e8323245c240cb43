/** Spans of control: each call of its API, each pass of the reconciler. No path with ids in it, nobody who called. */
import type { Clock } from '@subcloud/kit/clock';
import { SPAN_ERROR, SPAN_KIND, type Tracing } from '@subcloud/kit/tracing/start-tracing';

export interface ControlSpans {
  /** A call that is over; `route` with its placeholders. */
  called(call: ApiCall): void;
  passed(tookMs: number): void;
}

export interface ApiCall {
  readonly action: string;
  readonly method: string;
  readonly route: string;
  readonly status: number;
  readonly startMs: number;
  readonly traceparent: string | undefined;
}

export function controlSpans(tracing: Tracing, clock: Clock): ControlSpans {
  return {
    called({ action, method, route, status, startMs, traceparent }) {
      const attributes = {
        'http.request.method': method,
        'http.route': route,
        'http.response.status_code': status,
        'subcloud.action': action,
        ...(status >= 500 ? { 'error.type': String(status) } : {}),
      };
      const options = { kind: SPAN_KIND.server, startTime: startMs, attributes };
      const span = tracing.tracer.startSpan(`${method} ${route}`, options, tracing.parentOf(traceparent));
      if (status >= 500) span.setStatus(SPAN_ERROR);
      span.end(clock.nowMs());
    },
    passed(tookMs) {
      const endMs = clock.nowMs();
      tracing.tracer.startSpan('reconcile', { startTime: endMs - tookMs }, tracing.parentOf(undefined)).end(endMs);
    },
  };
}
