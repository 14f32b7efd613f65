ИМЯ                                   ЗНАЧЕНИЕ       ОТКУДА
KMI_AUTHS_DIR                         auths          окружение
KMI_STATE_DIR                         state          окружение
KMI_PROXY_LISTEN                      127.0.0.1:1    окружение
KMI_PROXY_BASE_PATH                   /kmi-rotor/v1  по умолчанию
KMI_UPSTREAM_ALLOWLIST                               по умолчанию
KMI_UPSTREAM_CA_FILE                                 по умолчанию
KMI_UPSTREAM_CONNECT_TIMEOUT_SECONDS  10             по умолчанию
KMI_UPSTREAM_IDLE_TIMEOUT_SECONDS     600            по умолчанию
KMI_DRY_RUN                           1              по умолчанию
KMI_WRITE_CONFIG                      1              по умолчанию
KMI_ROTATE_ON_TIE                     1              по умолчанию
KMI_AUTO_ROTATE_ALLOWED               0              по умолчанию
KMI_AUTO_ROTATE_E2E                   1              по умолчанию
KMI_ROTATE_STRATEGY                   round-robin    по умолчанию
KMI_ROTATE_INCLUDE_WARN               0              по умолчанию
KMI_ROTATION_COOLDOWN_SECONDS         300            по умолчанию
KMI_COOLDOWN_MAX_SECONDS              21600          по умолчанию
KMI_PAYMENT_BLOCK_SECONDS             3600           по умолчанию
KMI_REQUIRE_USAGE_BEFORE_REQUEST      0              по умолчанию
KMI_FAIL_OPEN_ON_EMPTY_CACHE          1              по умолчанию
KMI_USAGE_CACHE_SECONDS               0              окружение
KMI_BLOCKLIST_RECHECK_SECONDS         3600           по умолчанию
KMI_BLOCKLIST_RECHECK_MAX             3              по умолчанию
KMI_PROXY_TOKEN                                      по умолчанию
KMI_PROXY_TOKEN_FILE                                 по умолчанию
KMI_PROXY_ALLOW_REMOTE                0              по умолчанию
KMI_PROXY_REQUIRE_TLS                 1              по умолчанию
KMI_PROXY_TLS_TERMINATED              0              по умолчанию
KMI_PROXY_UNIX_USERS                                 по умолчанию
KMI_PROXY_HOSTS                                      по умолчанию
KMI_PROXY_ALLOW_ORIGINS                              по умолчанию
KMI_PROXY_TLS_CERT                                   по умолчанию
KMI_PROXY_TLS_KEY                                    по умолчанию
KMI_PROXY_TLS_LISTEN                                 по умолчанию
KMI_PROXY_TLS_POOL                                   по умолчанию
KMI_PROXY_MAX_RPS                     0              по умолчанию
KMI_PROXY_MAX_RPM                     0              по умолчанию
KMI_PROXY_MAX_RPS_PER_KEY             0              по умолчанию
KMI_PROXY_MAX_RPM_PER_KEY             0              по умолчанию
KMI_PROXY_MAX_CONCURRENCY_PER_KEY     0              по умолчанию
KMI_PROXY_WAIT_SECONDS                0              по умолчанию
KMI_PROXY_RETRY_MAX                   2              по умолчанию
KMI_PROXY_RETRY_BASE_MS               250            по умолчанию
KMI_PROXY_MAX_BODY_MB                 64             по умолчанию
KMI_PROXY_MAX_CONNECTIONS             1024           по умолчанию
KMI_PROXY_QUEUE_SECONDS               60             по умолчанию
KMI_PROXY_IDLE_SECONDS                75             по умолчанию
KMI_PROXY_DRAIN_SECONDS               30             по умолчанию
KMI_TRACE_MAX_MB                      5              по умолчанию
KMI_TRACE_BACKUPS                     3              по умолчанию
KMI_LOG_MAX_MB                        5              по умолчанию
KMI_LOG_BACKUPS                       3              по умолчанию
KMI_TRACE_PROMPTS                     1              по умолчанию
KMI_TIMEZONE                          local          по умолчанию
KMI_LOCALE                            ru             окружение
KMI_PLAIN                             0              по умолчанию
KMI_NO_COLOR                          0              по умолчанию
KMI_AUDIT_ACTOR                       anna           по умолчанию
KMI_ENFORCE_FILE_PERMS                1              по умолчанию
KMI_UPSTREAM_BASE_URL                 https://api.kimi.com/coding/v1  по умолчанию
