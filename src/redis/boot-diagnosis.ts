import { BOOT_CAUSES, type BootSymptom } from './boot-causes.js';
import { BootSettings, type BootPlace } from './boot-settings.js';
import { safeReply } from './error-mapping.js';
import { errorCode } from './managed-connection.js';

/** What a failed first connection means for the start of the application. */
export interface BootDiagnosis {
  /** Name of the cause, such as `MAXCLIENTS`; otherwise code or first word of the error. */
  reason: string;
  /** Waiting longer cannot help. */
  permanent: boolean;
  /** What happened and what to change, in one sentence. */
  advice: string;
}

/**
 * Explains why a connection did not become ready. For a Cluster the last node's error decides, for
 * Sentinel that of the last Sentinel asked.
 *
 * @param place the connection, so that the advice names its settings @default the default connection
 */
export function diagnoseBoot(failure: Error | undefined, place?: BootPlace): BootDiagnosis {
  const settings = new BootSettings(place);
  const error = (failure as { lastNodeError?: Error } | undefined)?.lastNodeError ?? failure;
  if (!error) {
    const advice = `the server did not answer; check host and port (${settings.address})`;
    return { reason: 'TIMEOUT', permanent: false, advice };
  }
  const symptom = symptomOf(error);
  const cause = BOOT_CAUSES.find(({ matches }) => matches(symptom));
  if (!cause) return { reason: symptom.code, permanent: false, advice: safeReply(symptom.message) };
  return {
    reason: cause.reason ?? symptom.code,
    permanent: cause.permanent,
    advice: cause.advice(settings, symptom),
  };
}

/** Codes after which a look at the bare socket can tell more. */
const AMBIGUOUS: ReadonlySet<string> = new Set([
  'CONNECTION_CLOSED',
  'COMMAND_TIMEOUT',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'Error',
  'SENTINEL_UNREACHABLE',
  'SOCKET_TIMEOUT',
  'TIMEOUT',
]);

/** Whether the reason hides what the server would say; see {@link probeServer}. */
export function isAmbiguous({ reason }: BootDiagnosis): boolean {
  return AMBIGUOUS.has(reason);
}

const ALL_SENTINELS = /^All sentinels are unreachable.*?(?:Last error: (.*))?$/s;

/** The client reports a Sentinel's fault as text, without code and behind a text of its own. */
function symptomOf(error: Error): BootSymptom {
  const sentinels = ALL_SENTINELS.exec(error.message);
  if (!sentinels) return { code: errorCode(error), message: error.message, fromSentinel: false };
  const message = sentinels[1] ?? '';
  return { code: errorCode(new Error(message)), message, fromSentinel: true };
}
