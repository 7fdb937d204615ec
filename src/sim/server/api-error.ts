/** An answer that is an error, thrown by handlers and turned into vLLM's JSON in one place. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly type: string;
  readonly param: string | null;

  constructor(status: number, type: string, message: string, param: string | null = null) {
    super(message);
    this.status = status;
    this.type = type;
    this.param = param;
  }
}

export function badRequest(message: string, param: string | null = null): ApiError {
  return new ApiError(400, 'BadRequestError', message, param);
}

export function notFound(message: string, param: string | null = null): ApiError {
  return new ApiError(404, 'NotFoundError', message, param);
}

export function errorJson(error: ApiError): string {
  const { message, type, param, status } = error;
  return JSON.stringify({ error: { message, type, param, code: status } });
}
