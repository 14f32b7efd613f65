использование: kmi tls [--check] [--help] [--version]
               kmi tls selfsigned [--days N] [--name ИМЯ]... [--force]
                   [СЕРТИФИКАТ КЛЮЧ]

Обслуживает TLS с KMI_PROXY_TLS_CERT и KMI_PROXY_TLS_KEY по адресу
KMI_PROXY_TLS_LISTEN или на сокете от суперсервера и передаёт расшифрованное
в kmi-handle. `selfsigned` создаёт первый сертификат.

      --check    сказать, годны ли сертификат и ключ и до какого срока
  -h, --help     эта справка
