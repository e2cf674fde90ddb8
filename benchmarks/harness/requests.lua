-- Each request is the next line of a file, so that no two of a million are alike; replies are counted by what is wrong.
-- Arguments: file, position to start at, path, content type, what stands before and after each line, shortest and
-- longest good reply in bytes. `|` in a CSV line stands for a newline of the body.
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  local file, start, path, content_type, before, after, least, most = unpack(arguments)
  lines = assert(io.open(file, "rb"))
  position = tonumber(start)
  lines:seek("set", position)
  head = "POST " .. path .. " HTTP/1.1\r\nHost: " .. wrk.headers["Host"] .. "\r\nContent-Type: " .. content_type
    .. "\r\nAccept: */*\r\nContent-Length: "
  is_csv = content_type == "text/csv"
  lead, trail = before, after
  shortest, longest = tonumber(least), tonumber(most)
  bad_status, bad_length, answered = 0, 0, 0
end

function request()
  local line = lines:read("*l")
  if line == nil then
    lines:seek("set", 0)
    position = 0
    line = lines:read("*l")
  end
  position = position + #line + 1
  if is_csv then
    line = line:gsub("|", "\n")
  end
  local body = lead .. line .. trail
  return head .. #body .. "\r\n\r\n" .. body
end

function response(status, headers, body)
  answered = answered + 1
  if status ~= 200 then
    bad_status = bad_status + 1
  elseif #body < shortest or #body > longest then
    bad_length = bad_length + 1
  end
end

function done(summary, latency, requests)
  local thread = threads[1]
  io.write(string.format(
    '\nRESULT {"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"max_us":%d,"bad_status":%d,"bad_length":%d,'
      .. '"answered":%d,"position":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    thread:get("bad_status"), thread:get("bad_length"), thread:get("answered"), thread:get("position"),
    summary.errors.connect, summary.errors.read, summary.errors.write, summary.errors.timeout))
end
