// NSS shared database key4.db: SQLite with the tables nssPrivate and metaData.
rule mozilla_key_database
{
    meta:
        id = "mozilla.key-database"
        name = "Key database of a Mozilla profile"
        kind = "indicator"
        severity = "medium"
        confidence = "high"
        why = "Opens the logins saved beside it unless the profile has a main password."
        fix = "Change the passwords saved in this profile."
        reference = "https://firefox-source-docs.mozilla.org/security/nss/index.html"
    strings:
        $magic = "SQLite format 3\x00"
        $table = "nssPrivate"
        $meta = "metaData"
    condition:
        $magic at 0 and $table in (0..65536) and $meta in (0..65536)
}
